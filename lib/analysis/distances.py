"""Distances between the rows of a matrix, one dense square matrix at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lib.errors import BookError


def jaccard(bits: np.ndarray) -> np.ndarray:
    """Jaccard distance between rows of bits: bits set in one row alone / bits set in either.

    bits: [N, D], boolean or 0/1. Returns [N, N] float64. Two rows without any bit are at distance 0.
    One matrix product counts every intersection, exactly: float32 holds whole numbers to 2^24.
    """
    rows = np.asarray(bits, dtype=bool).astype(np.float32)
    both = (rows @ rows.T).astype(float)
    ones = np.diag(both)
    either = ones[:, None] + ones[None, :] - both
    return np.divide(either - both, either, out=np.zeros_like(either), where=either > 0)


def generalised_tanimoto(counts: np.ndarray) -> np.ndarray:
    """Generalised Tanimoto distance between rows of counts: 1 - <x, y> / (|x|^2 + |y|^2 - <x, y>).

    counts: [N, D], no negative entry. Returns [N, N] float64. Two rows of zeros are at distance 0.
    On rows of bits it is the Jaccard distance; on counts it is not a metric (the triangle inequality can fail).
    Raises BookError for a negative count.
    """
    rows = np.asarray(counts, dtype=float)
    if rows.size and rows.min() < 0:
        raise BookError(f"a count of {rows.min():g} was given to generalised_tanimoto: counts must be 0 or more")
    inner = rows @ rows.T
    square = np.diag(inner)
    denominator = square[:, None] + square[None, :] - inner
    distance = 1.0 - np.divide(inner, denominator, out=np.ones_like(inner), where=denominator > 0)
    np.fill_diagonal(distance, 0.0)
    return distance


def euclidean(matrix: np.ndarray) -> np.ndarray:
    """Euclidean distance between rows. matrix: [N, D]; returns [N, N] float64."""
    from scipy.spatial.distance import pdist, squareform

    return squareform(pdist(np.asarray(matrix, dtype=float), "euclidean"))


def cosine(matrix: np.ndarray) -> np.ndarray:
    """Cosine distance 1 - <x, y> / (|x| |y|) between rows. matrix: [N, D]; returns [N, N] float64.

    Raises BookError for a row of zeros, which has no direction.
    """
    from scipy.spatial.distance import pdist, squareform

    rows = np.asarray(matrix, dtype=float)
    empty = np.flatnonzero(~rows.any(axis=1))
    if empty.size:
        raise BookError(f"row {empty[0]} is all zeros and has no cosine distance: drop it or use another distance")
    return np.clip(squareform(pdist(rows, "cosine")), 0.0, None)


DISTANCES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "jaccard": jaccard,
    "generalised_tanimoto": generalised_tanimoto,
    "euclidean": euclidean,
    "cosine": cosine,
}


def distance_matrix(matrix: np.ndarray, metric: str) -> np.ndarray:
    """The [N, N] distance matrix of the rows of a matrix under one of the names in DISTANCES."""
    if metric not in DISTANCES:
        raise BookError(f"unknown metric {metric!r}: choose one of {', '.join(DISTANCES)}")
    return DISTANCES[metric](matrix)
