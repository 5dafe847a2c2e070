"""The selective scan: one diagonal recurrence, three implementations, one public function; see README.md."""

from lib._lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "explain_selective_scan": ".rule",
        "naive_selective_scan": ".naive",
        "selective_scan": ".rule",
    },
)
