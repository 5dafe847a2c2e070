"""Fit the codebooks of a residual quantiser: k-means on frames, then on what is left, stage after stage."""

from __future__ import annotations

import numpy as np

from lib.errors import BookError


def nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Index of the nearest centre of every point, in blocks that fit a cache."""
    lengths = (centres**2).sum(1)
    parts = [(lengths - 2 * points[i : i + 8192] @ centres.T).argmin(1) for i in range(0, len(points), 8192)]
    return np.concatenate(parts)


def k_means(points: np.ndarray, count: int, generator: np.random.Generator, rounds: int = 12) -> np.ndarray:
    """Centres [count, D] of points [N, D]: Lloyd's rounds from distinct points; a centre that owns none starts anew.

    Raises BookError when there are fewer points than centres.
    """
    if len(points) < count:
        raise BookError(f"{len(points)} frames cannot fill {count} codes; give at least one frame a code")
    centres = points[generator.choice(len(points), count, replace=False)].copy()
    for _ in range(rounds):
        owner = nearest(points, centres)
        sizes = np.bincount(owner, minlength=count)
        order = np.argsort(owner, kind="stable")
        starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
        sums = np.add.reduceat(points[order], np.minimum(starts, len(points) - 1), axis=0)
        centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
        empty = np.flatnonzero(sizes == 0)
        centres[empty] = points[generator.choice(len(points), len(empty), replace=False)]
    return centres.astype(np.float32)


def fit_residual_vq(
    frames: np.ndarray, stages: int, size: int, generator: np.random.Generator, rounds: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """Tables [stages, size, D] and mean [D] of a residual quantiser for frames [N, D].

    The tables go into `lib.models.codec.ResidualVQCodec`. Raises BookError when there are fewer frames than codes.
    Source: Juang and Gray, Multiple stage vector quantization for speech coding (1982). Used by chapters 09 and 10.
    """
    mean = frames.mean(0)
    rest = (frames - mean).astype(np.float32)
    tables = []
    for _ in range(stages):
        table = k_means(rest, size, generator, rounds)
        rest = rest - table[nearest(rest, table)]
        tables.append(table)
    return np.stack(tables), mean.astype(np.float32)
