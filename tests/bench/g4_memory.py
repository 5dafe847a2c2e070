"""G4: memory that forward and backward need beyond their inputs at T=1024, against an indexed loop.

Each figure is the growth of a fresh process's peak resident memory: `python -m tests.bench.g4_memory chunk` prints it.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from lib.kernels.gated_delta.compiled import why_not
from tests.bench.baselines import indexed_recurrence, unbound_recurrence
from tests.bench.gated_delta_inputs import implementation, leaves
from tests.bench.measure import Row, fwd_bwd, peak_memory

TIME = 1024
RIVALS = {
    "chunk": implementation("chunk"),
    "compiled": implementation("compiled"),
    "indexed": indexed_recurrence,
    "unbound": unbound_recurrence,
}


def resident() -> tuple[int, int]:
    """Bytes that this process holds now, and at most so far; where only the peak is known, that twice.

    On Linux getrusage would count the peak of the process that started this one.
    """
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return tuple(int(status.partition(field)[2].split()[0]) * 1024 for field in ("VmRSS:", "VmHWM:"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak, peak


def growth(name: str) -> int:
    """Peak less what was held before one forward and backward pass; a short pass first loads what is loaded once."""
    torch.set_num_threads(1)
    x, weights = leaves(16)
    fwd_bwd(RIVALS[name], x, weights)()
    x, weights = leaves(TIME)
    before, _ = resident()
    fwd_bwd(RIVALS[name], x, weights)()
    return resident()[1] - before


def rows() -> Iterator[Row]:
    indexed = peak_memory("tests.bench.g4_memory", "indexed")
    for name in ("chunk", "compiled"):
        if name == "compiled" and why_not():
            yield Row("G4", "compiled, memory", untimed=why_not())
            continue
        used = peak_memory("tests.bench.g4_memory", name)
        what = f"{name}, share of an indexed loop's {indexed / 1e6:,.0f} MB"
        yield Row("G4", what, used / indexed, "x", 1 / 8, at_least=False)


if __name__ == "__main__":
    print(growth(sys.argv[1]))
