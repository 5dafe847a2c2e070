"""The gated delta rule: one recurrence, four implementations, one public function. The derivation is in README.md."""

from lib._lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "explain_gated_delta_rule": ".rule",
        "gated_delta_rule": ".rule",
        "naive_gated_delta_rule": ".naive",
    },
)
