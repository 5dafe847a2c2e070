"""Two persistence diagrams side by side: which loops recur, and how alike the whole pictures are (chapter 04).

The post ranks the ten longest loops and stops there. A matching asks whether the loops of one subsample are those of
the next, birth by birth and death by death; a persistence image weighs the short loops as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lib.errors import BookError


@dataclass(frozen=True)
class Matching:
    """How the longest loops of one diagram fit those of another.

    matched: share of loops that are paired with a loop, not with the diagonal.
    shift: mean distance between partners in the plane of birth and death; nan when nothing is matched.
    cost: all distances together, those of unmatched loops to the diagonal included (1-Wasserstein distance).
    relative: cost as a share of what it costs to retire every loop of both; 0 for equal diagrams, 1 for strangers.
    """

    matched: float
    shift: float
    cost: float
    relative: float


def match(one: np.ndarray, two: np.ndarray, top: int = 10) -> Matching:
    """Pair the `top` longest loops of two diagrams, [L, 2] each, sorted by falling persistence.

    The pairing minimises the sum of all moves (Wasserstein matching, persim); a loop may retire to the diagonal
    instead. A bottleneck matching would not do: it minimises the largest move alone and leaves the other pairs open.
    Raises BookError for a diagram without loops.
    """
    from persim import wasserstein

    if not len(one) or not len(two):
        raise BookError("a diagram without loops was given to match: check the distances that it came from")
    left, right = one[:top], two[:top]
    cost, pairs = wasserstein(left, right, matching=True)
    partners = [(int(i), int(j)) for i, j, _ in pairs if i >= 0 and j >= 0]
    shifts = [np.linalg.norm(left[i] - right[j]) for i, j in partners]
    matched = 2 * len(partners) / (len(left) + len(right))
    retired = sum(float(loops[:, 1].sum() - loops[:, 0].sum()) for loops in (left, right)) / np.sqrt(2)
    return Matching(matched, float(np.mean(shifts)) if shifts else np.nan, float(cost), float(cost / retired))


def images(diagrams: Sequence[np.ndarray], cells: int = 20) -> np.ndarray:
    """Persistence images (Adams et al. 2017) of several diagrams on one common grid, [M, cells, cells].

    diagrams: [L, 2] each, birth and death. Weighted by persistence; the Gaussian's variance is one cell squared.
    """
    from persim import PersistenceImager

    everything = np.concatenate([np.column_stack([d[:, 0], d[:, 1] - d[:, 0]]) for d in diagrams])
    if not len(everything):
        raise BookError("diagrams without loops were given to images: check the distances that they came from")
    low, high = everything.min(axis=0), everything.max(axis=0)
    size = max(high[0] - low[0], high[1]) / cells or 1.0
    birth = (float(low[0]), float(low[0]) + cells * size)
    maker = PersistenceImager(
        birth_range=birth,
        pers_range=(0.0, cells * size),
        pixel_size=size,
        kernel_params={"sigma": [[size**2, 0.0], [0.0, size**2]]},
    )
    return np.stack([maker.transform(d, skew=True)[:cells, :cells] for d in diagrams])


def image_similarity(pictures: np.ndarray) -> np.ndarray:
    """Cosine similarity of persistence images, [M, M]. pictures: [M, cells, cells]."""
    flat = pictures.reshape(len(pictures), -1)
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    return unit @ unit.T
