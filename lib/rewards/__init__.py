"""Rewards: what an answer is worth, one small pure function per rule."""

from lib._lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "Bands": ".tags",
        "Critic": ".critic",
        "Reward": ".tags",
        "group_advantages": ".advantages",
        "recover": ".tags",
        "score": ".tags",
        "tags": ".tags",
        "zero_signal": ".advantages",
        "zero_signal_share": ".advantages",
    },
)
