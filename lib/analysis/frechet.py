"""The Fréchet distance between two Gaussians fitted to two sets of embeddings."""

from __future__ import annotations

import numpy as np

from lib.errors import BookError


def frechet_distance(one: np.ndarray, two: np.ndarray) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) for embeddings [n, d] and [m, d].

    The trace of the root is the sum of the roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric: no
    complex numbers appear. The distance has a bias of order d / n, so compare sets of one size only.
    Raises BookError for sets of different widths or fewer than two rows.
    Source: Dowson and Landau (1982); Kilgour et al., Fréchet Audio Distance (2019). Chapter 07.
    """
    one, two = np.asarray(one, dtype=float), np.asarray(two, dtype=float)
    if one.ndim != 2 or two.ndim != 2 or one.shape[1] != two.shape[1] or min(len(one), len(two)) < 2:
        raise BookError(
            f"embeddings {list(one.shape)} and {list(two.shape)}; give [n, d] and [m, d], two rows at least"
        )
    first, second = np.cov(one, rowvar=False, ddof=1), np.cov(two, rowvar=False, ddof=1)
    first, second = np.atleast_2d(first), np.atleast_2d(second)
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    overlap = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ second @ root), 0)).sum()
    means = np.square(one.mean(axis=0) - two.mean(axis=0)).sum()
    return float(max(0.0, means + np.trace(first) + np.trace(second) - 2 * overlap))
