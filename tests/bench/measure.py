"""How the bench measures: the machine's limits, interleaved CPU times, peak memory of a fresh process, and a row.

A group is a file `gN_name.py` beside this one, with `rows()` yielding Row; the runner finds it by its name.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

REPEATS = 5


@dataclass(frozen=True)
class Row:
    """One measured figure and its bar.

    group: "G1". what: what was measured, in words. value, unit: the figure. bar: what it must reach.
    at_least: whether more is better. share: the machine's limit over the measured time, where there is such a limit.
    untimed: why there is no figure; such a row neither passes nor fails.
    """

    group: str
    what: str
    value: float = float("nan")
    unit: str = "x"
    bar: float = float("nan")
    at_least: bool = True
    share: float | None = None
    untimed: str = ""

    @property
    def below(self) -> bool:
        """Whether the bar is missed; a figure that is not a number misses it."""
        if self.untimed:
            return False
        return not (self.value >= self.bar if self.at_least else self.value <= self.bar)

    def __str__(self) -> str:
        if self.untimed:
            return f"{self.group:4} {self.what:62} untimed: {self.untimed}"
        share = f"{self.share:6.0%} of the limit" if self.share is not None else ""
        verdict = "below" if self.below else "ok"
        sign = ">=" if self.at_least else "<="
        return (
            f"{self.group:4} {self.what:62} {self.value:9.3g} {self.unit:3} {sign} {self.bar:<8.3g} {verdict:6} {share}"
        )


@dataclass(frozen=True)
class Limits:
    """What one thread of this machine can do at best."""

    matmul: float  # FLOP/s, float32, 1024 x 1024 x 1024
    small_products: float  # FLOP/s, float32, 384 products of 64 x 64 x 64
    memory: float  # bytes/s, copying 64 MB
    dispatch: float  # s for one operation on one number

    def __str__(self) -> str:
        return (
            f"limits of one thread: matmul {self.matmul / 1e9:.0f} GFLOP/s, small products "
            f"{self.small_products / 1e9:.0f} GFLOP/s, copy {self.memory / 1e9:.0f} GB/s, "
            f"dispatch {self.dispatch * 1e6:.1f} us"
        )


@functools.cache
def limits() -> Limits:
    """Measure the limits once a process."""
    square, small = torch.randn(1024, 1024), torch.randn(384, 64, 64)
    block, one = torch.randn(1 << 24), torch.randn(1)
    results = torch.empty_like(square), torch.empty_like(small), torch.empty_like(block)

    def dispatch() -> None:
        for _ in range(10_000):
            torch.neg(one, out=one)

    least = interleaved(
        {
            "matmul": lambda: torch.mm(square, square, out=results[0]),
            "small": lambda: torch.bmm(small, small, out=results[1]),
            "copy": lambda: results[2].copy_(block),
            "dispatch": dispatch,
        },
        summary=min,
    )
    return Limits(
        matmul=2 * 1024**3 / least["matmul"],
        small_products=2 * 384 * 64**3 / least["small"],
        memory=2 * block.nbytes / least["copy"],
        dispatch=least["dispatch"] / 10_000,
    )


def interleaved(
    functions: Mapping[str, Callable[[], object]],
    repeats: int = REPEATS,
    summary: Callable[[list[float]], float] = median,
) -> dict[str, float]:
    """CPU seconds of each function: all run in turn, `repeats` times after one unmeasured turn; the median of each.

    CPU time with one thread does not count the time that other processes take.
    """
    if torch.get_num_threads() != 1:
        raise RuntimeError(f"torch runs {torch.get_num_threads()} threads; a ratio is fair with one only")
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            start = time.process_time()
            function()
            if turn:
                taken[name].append(time.process_time() - start)
    return {name: summary(times) for name, times in taken.items()}


def peak_memory(module: str, *arguments: str) -> int:
    """Bytes that `python -m module arguments` prints as its last word; a fresh process, one thread."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-m", module, *arguments], env=env, capture_output=True, text=True, check=True
    )
    return int(run.stdout.split()[-1])


def fwd_bwd(function: Callable, leaves: list[torch.Tensor], weights: torch.Tensor) -> Callable[[], torch.Tensor]:
    """A call that runs forward and backward and returns the output; the gradients are left on the leaves."""

    def run() -> torch.Tensor:
        for leaf in leaves:
            leaf.grad = None
        o = function(*leaves)[0]
        o.backward(weights)
        return o.detach()

    return run


def must_agree(found: torch.Tensor, right: torch.Tensor, tolerance: float, what: str) -> None:
    """Refuse to time two functions that do not compute the same thing."""
    error = ((found - right).norm() / right.norm()).item()
    if not error <= tolerance:
        raise AssertionError(f"{what}: outputs differ by {error:.1e}, more than {tolerance:.0e}; no time is comparable")
