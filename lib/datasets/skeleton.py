"""Landmarks as lines that a figure can draw: a signer from the front, and a strip of hands over time.

Lines are points [n, 2] parted by rows of NaN, x to the right and y up, so that one call of a plotting library draws
them. Chapter 02, figures.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib.datasets import signing
from lib.errors import BookError

FINGERS = tuple((0, *range(first, first + 4)) for first in (1, 5, 9, 13, 17))
"""Of a hand, from the wrist: thumb, index, middle, ring and little finger."""

PALM = (5, 9, 13, 17)
"""The knuckles, which close the palm."""

BODY = ((16, 14, 12, 11, 13, 15), (12, 24, 23, 11))
"""Of the pose: wrists, elbows and shoulders; the trunk."""


def chains(points: np.ndarray, paths: Sequence[Sequence[int]]) -> np.ndarray:
    """Points [N, 2] joined along paths of indices, a NaN row after each path: [n, 2]."""
    gap = np.full((1, 2), np.nan)
    return np.concatenate([part for path in paths for part in (points[list(path)], gap)])


def hand(points: np.ndarray) -> np.ndarray:
    """The lines of a hand of 21 points [21, 2 or more], y turned up."""
    return chains(points[:, :2] * [1, -1], (*FINGERS, PALM))


def person(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of one frame [543, 3]: lines of trunk, arms and hands [n, 2], and the points of the face [468, 2], y turned up.

    What was not found is NaN and is not drawn.
    """
    if frame.shape != (signing.LANDMARKS, 3):
        raise BookError(f"a frame is {frame.shape}; give [{signing.LANDMARKS}, 3]")
    flat = frame[:, :2] * [1, -1]
    hands = [hand(frame[part]) for part in signing.HANDS.values()]
    return np.concatenate([chains(flat[signing.POSE], BODY), *hands]), flat[signing.FACE]


def strip(inputs: np.ndarray, frames: Sequence[int], spacing: float = 2.4) -> np.ndarray:
    """Right hands of chosen frames side by side, one every `spacing` palms: inputs [T, 70] -> lines [n, 2]."""
    drawn = []
    for place, frame in enumerate(frames):
        points = inputs[frame, :63].reshape(21, 3)[:, :2]
        drawn.append(np.add(hand(points), [spacing * place, 0]))
    return np.concatenate(drawn)
