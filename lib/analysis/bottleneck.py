"""Fingerprints squeezed to the width of the learned map: is it the smell that makes loops, or 256 numbers? (chapter 04)

The post names the mismatch itself: its map has 256 dense numbers, a fingerprint 2,048 bits. Two of the three matched
baselines need no training; the third, an autoencoder, is in lib.trainers.fingerprint_autoencoder.
"""

from __future__ import annotations

import numpy as np

from lib.analysis.fingerprints import DENSE_NULLS, Representation
from lib.errors import BookError

WIDTH = 256


def _checked(matrix: np.ndarray, width: int, most: int) -> np.ndarray:
    rows = np.asarray(matrix, dtype=float)
    if not 1 <= width <= most:
        raise BookError(f"{rows.shape[0]} rows of {rows.shape[1]} numbers cannot be squeezed to {width}: use fewer")
    return rows


def principal_components(matrix: np.ndarray, width: int = WIDTH) -> np.ndarray:
    """The rows of a matrix [N, D] on their first `width` principal components, [N, width], not rescaled.

    Raises BookError for more components than rows or columns.
    """
    rows = _checked(matrix, width, min(np.shape(matrix)))
    centred = rows - rows.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, :width] * sizes[:width]


def random_projection(matrix: np.ndarray, width: int, generator: np.random.Generator) -> np.ndarray:
    """The rows of a matrix [N, D] times a Gaussian matrix, [N, width]; squared lengths are kept on average.

    Raises BookError for a projection that does not squeeze.
    """
    rows = _checked(matrix, width, np.shape(matrix)[1])
    return rows @ generator.normal(size=(rows.shape[1], width)) / np.sqrt(width)


def components_for(matrix: np.ndarray, share: float = 0.9) -> int:
    """How many principal components of a matrix [N, D] hold `share` of its variance.

    Raises BookError for a share outside (0, 1).
    """
    if not 0 < share < 1:
        raise BookError(f"share={share}; it must lie between 0 and 1")
    rows = np.asarray(matrix, dtype=float)
    variance = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False) ** 2
    return int(np.searchsorted(np.cumsum(variance) / variance.sum(), share) + 1)


def squeezed(name: str, matrix: np.ndarray, metric: str = "euclidean") -> Representation:
    """Points [N, D] of dense numbers as they are, with the dense null models: the form of the learned map."""
    return Representation(name, np.asarray(matrix, dtype=float), metric, DENSE_NULLS)
