"""Rewards: what an answer is worth, one small pure function per rule."""

from lib._lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "Bands": ".tags",
        "Reward": ".tags",
        "recover": ".tags",
        "score": ".tags",
    },
)
