"""The neighbourhood of every point: nine numbers of its geometry and five of its loops (chapter 04, utility).

A patch is a focal point with its nearest neighbours. The features are those of the audited analysis (Obiohagwu 2026,
SOURCES 4.3): what distances say of a patch, and what its H1 persistence diagram adds.
"""

from __future__ import annotations

import numpy as np

from lib.analysis.homology import persistence, square
from lib.errors import BookError

NEIGHBOURS = 40
GEOMETRY = (
    "mean distance to the focal point",
    "spread of those distances",
    "their 90th percentile",
    "their maximum",
    "mean distance in the patch",
    "spread of the distances in the patch",
    "density",
    "participation ratio",
    "variance beyond three components",
)
TOPOLOGY = ("loops", "longest loop", "all persistence", "mean persistence", "95th percentile of persistence")
_TINY = 1e-8


def nearest(distances: np.ndarray, count: int = NEIGHBOURS) -> np.ndarray:
    """The `count` nearest other points of every point, nearest first, ties to the lower index.

    distances: [N, N]. Returns [N, count] int. Raises BookError unless 1 <= count < N.
    """
    between = square(distances)
    if not 1 <= count < len(between):
        raise BookError(f"{count} neighbours of {len(between)} points: give 1 to {len(between) - 1}")
    others = between.copy()
    np.fill_diagonal(others, np.inf)
    return np.argsort(others, axis=1, kind="stable")[:, :count]


def geometry(distances: np.ndarray, matrix: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """The features named in GEOMETRY for every point, [N, 9] float64.

    distances: [N, N]; matrix: the points [N, D]; neighbours: [N, k] from `nearest`.
    The last two come from the singular values s of the centred patch: (sum s^2)^2 / sum s^4, and the share of sum s^2
    beyond the third. A patch of identical points has 0 for both.
    """
    rows = np.asarray(matrix, dtype=float)
    upper = np.triu_indices(neighbours.shape[1] + 1, 1)
    found = np.empty((len(rows), len(GEOMETRY)))
    for focal, near in enumerate(neighbours):
        patch = np.concatenate([[focal], near])
        spokes = distances[focal, near]
        pairs = distances[np.ix_(patch, patch)][upper]
        width = _squared_singular_values(rows[patch])
        total = width.sum()
        found[focal] = (
            spokes.mean(),
            spokes.std(),
            np.quantile(spokes, 0.9),
            spokes.max(),
            pairs.mean(),
            pairs.std(),
            1 / (spokes.mean() + _TINY),
            total**2 / (width**2).sum() if total > _TINY else 0.0,
            width[3:].sum() / total if total > _TINY else 0.0,
        )
    return found


def topology(distances: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
    """The features named in TOPOLOGY for every point, [N, 5] float64, all 0 for a patch without loops.

    distances: [N, N]; neighbours: [N, k] from `nearest`.
    """
    found = np.zeros((len(neighbours), len(TOPOLOGY)))
    for focal, near in enumerate(neighbours):
        patch = np.concatenate([[focal], near])
        lives = persistence(distances[np.ix_(patch, patch)])
        if len(lives):
            found[focal] = len(lives), lives[0], lives.sum(), lives.mean(), np.quantile(lives, 0.95)
    return found


def _squared_singular_values(points: np.ndarray) -> np.ndarray:
    """Of the centred points, in falling order, from the smaller of the two Gram matrices."""
    centred = points - points.mean(axis=0)
    wide = centred.shape[1] > centred.shape[0]
    gram = centred @ centred.T if wide else centred.T @ centred
    return np.clip(np.linalg.eigvalsh(gram)[::-1], 0, None)
