"""The landmark route at several numbers of landmarks: how much of a ratio is the thinning (chapter 04)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib.analysis.distances import distance_matrix
from lib.analysis.fingerprints import Representation
from lib.analysis.homology import farthest_points, persistence
from lib.analysis.nulls import draw_null
from lib.analysis.robustness import LANDMARK_OFFSET, LANDMARK_STEP, NULL_STEP, Route, subsamples, summarise


def landmark_ratios(
    representation: Representation, counts: Sequence[int], *, size: int, runs: int, seed: int = 0
) -> dict[int, float]:
    """The robustness ratio of the landmark route for each number of landmarks, with the seeds of `audit`.

    Farthest points come in an order, and fewer landmarks are its beginning: one order serves all counts.
    """
    names = (None, *representation.nulls)
    found: dict[int, dict[str | None, list[np.ndarray]]] = {count: {name: [] for name in names} for count in counts}
    for run, rows in enumerate(subsamples(len(representation.matrix), size, runs, seed)):
        for order, name in enumerate(names):
            sample = representation.matrix[rows]
            points = sample if name is None else draw_null(name, sample, seed + run + NULL_STEP * order)
            between = distance_matrix(points, representation.metric)
            start = np.random.default_rng(seed + run + LANDMARK_OFFSET + LANDMARK_STEP * order)
            chosen = farthest_points(between, min(max(counts), len(rows)), start)
            for count in counts:
                few = chosen[:count]
                found[count][name].append(persistence(between[np.ix_(few, few)]))
    ratios = {}
    for count, lives in found.items():
        route = Route(lives[None], {name: lives[name] for name in representation.nulls})
        ratios[count] = summarise(route).ratio
    return ratios
