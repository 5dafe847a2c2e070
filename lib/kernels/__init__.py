"""Tensor functions, each fast one beside a plain twin."""

from lib._lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "explain": ".choice",
        "MemoryState": ".memory",
        "gated_delta_rule": ".gated_delta",
        "gated_residual_memory": ".memory",
        "memory_gates": ".memory",
        "selective_scan": ".selective_scan.rule",
        "topk_decode": ".topk",
        "topk_encode": ".topk",
    },
)
