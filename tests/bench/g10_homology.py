"""G10: the H1 audit, against ripser.py as it comes, and on two processes instead of one.

Processes are compared by the clock on the wall, which is fair only where nothing else runs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import numpy as np

from lib.analysis.distances import distance_matrix
from lib.analysis.fingerprints import represent
from lib.analysis.homology import persistence
from lib.analysis.robustness import Task, measure_all
from lib.datasets import odor
from tests.bench.measure import Row, interleaved

TABLES = 64
NOISE = 0.97  # two timings of one and the same call differ by this much


def plain(distances: np.ndarray) -> np.ndarray:
    """Persistences by ripser.py alone."""
    from ripser import ripser

    diagram = ripser(distances, maxdim=1, distance_matrix=True)["dgms"][1]
    return np.sort(diagram[:, 1] - diagram[:, 0])[::-1]


def rows() -> Iterator[Row]:
    bits = represent("bit_r4", odor.load("pocket")["smiles"])
    between = distance_matrix(bits.matrix, bits.metric)
    if not np.allclose(persistence(between), plain(between), atol=1e-6):
        raise AssertionError("ripser.py finds other loops; no time is comparable")
    taken = interleaved({"ours": lambda: persistence(between), "plain": lambda: plain(between)})
    what = f"checked and sorted, {len(between)} molecules, against ripser.py"
    yield Row("G10", what, taken["plain"] / taken["ours"], bar=NOISE)
    if (os.cpu_count() or 1) < 2 or os.getloadavg()[0] > 1.5:
        yield Row("G10", "two processes against one", untimed="needs two idle cores")
        return
    tasks = [Task(bits.matrix, bits.metric, "bernoulli", seed, None, seed) for seed in range(TABLES)]
    walls, found = {}, {}
    for workers in (1, 2):
        start = time.perf_counter()
        found[workers] = [values for values, _ in measure_all(tasks, workers)]
        walls[workers] = time.perf_counter() - start
    if any(not np.array_equal(one, two) for one, two in zip(found[1], found[2], strict=True)):
        raise AssertionError("two processes find other loops than one; no time is comparable")
    yield Row("G10", f"two processes against one, {TABLES} tables", walls[1] / walls[2], bar=1.7)
