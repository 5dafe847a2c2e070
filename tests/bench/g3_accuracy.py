"""G3: float32 against the float64 loop: the largest relative root mean square over both outputs and all gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from lib.kernels.gated_delta.compiled import why_not
from tests.bench.measure import Row
from tests.kernels.cases import errors, evaluate, inputs

SIZE = (1, 512, 3, 64, 64)
CORRELATED = [(rho, beta) for rho in (0.5, 0.9, 0.99, 1.0) for beta in (0.9, 1.9)]


def worst(impl: str, cases: list[dict]) -> float:
    """The largest error over cases, or NaN if there is one anywhere."""
    found = [
        error
        for case in cases
        for error in errors(
            evaluate(inputs(*SIZE, **case), impl), evaluate(inputs(*SIZE, **case), "naive", torch.float64)
        ).values()
    ]
    return math.nan if any(map(math.isnan, found)) else max(found)


def rows() -> Iterator[Row]:
    random = [{"decay": decay, "seed": seed} for decay in (0.0, 0.1, 2.0) for seed in (0, 1)]
    correlated = [{"decay": d, "rho": rho, "beta": beta} for d in (0.0, 0.1) for rho, beta in CORRELATED]
    for impl in ("chunk", "compiled"):
        if impl == "compiled" and why_not():
            yield Row("G3", "compiled, accuracy", untimed=why_not())
            continue
        yield Row("G3", f"{impl}, error on random keys", worst(impl, random), "rms", 2e-6, at_least=False)
        yield Row("G3", f"{impl}, error on correlated keys", worst(impl, correlated), "rms", 1e-5, at_least=False)
