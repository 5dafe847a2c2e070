"""Gated residual memory: a linear memory that keeps what it held at the end of every segment. README.md derives it.

`naive.py` goes token by token, as the paper writes it. `parallel.py` computes the same numbers a segment at a time.
"""

from lib._lazy import exports

__getattr__, __dir__, __all__ = exports(
    __name__,
    {
        "MemoryState": ".state",
        "explain_gated_residual_memory": ".rule",
        "gated_residual_memory": ".rule",
        "memory_gates": ".gates",
        "naive_gated_residual_memory": ".naive",
        "segment_reads": ".parallel",
    },
)
