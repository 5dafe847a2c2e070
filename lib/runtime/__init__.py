"""What runs while somebody signs: windows, smoothing, dispatch, and stages joined by bounded queues."""

from lib._lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "Dispatcher": ".dispatch",
        "InARow": ".smoothing",
        "IsolatedStream": ".segments",
        "LocalAgreement": ".smoothing",
        "Pipeline": ".pipeline",
        "Segmenter": ".segments",
        "SlidingWindow": ".segments",
        "Stage": ".stage",
        "TopOne": ".smoothing",
        "cuts": ".segments",
        "learned_dispatch": ".learned_dispatch",
        "replay": ".virtual_clock",
    },
)
