"""Which recogniser reads a segment: the isolated classifier or the sequence model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lib.errors import BookError

Route = Literal["isolated", "sequence"]
Recogniser = Callable[[np.ndarray], Sequence[int]]
"""A segment [T, F] -> token ids."""

THRESHOLD = 16
"""Frames from which the post asks the sequence model: 16 frames at 30 a second are 0.53 s."""


@dataclass(frozen=True)
class Dispatcher:
    """Fewer than `threshold` frames go to the isolated classifier, the others to the sequence model.

    choose, if given, decides instead, from the segment [T, F]: a learned dispatcher is such a function.
    Source: the hybrid rule of the post. Used by chapter 02.
    """

    isolated: Recogniser
    """Reads one sign or a short segment."""
    sequence: Recogniser
    """Reads a phrase."""
    threshold: int = THRESHOLD
    """Shortest segment, in frames, for the sequence model."""
    choose: Callable[[np.ndarray], Route] | None = None
    """Replaces the threshold."""
    vocabulary: dict[int, int] | None = None
    """From the isolated classifier's labels to the sequence model's tokens, where the two differ."""

    def route(self, segment: np.ndarray) -> Route:
        """Where a segment [T, F] goes."""
        if self.choose is not None:
            return self.choose(segment)
        return by_length(len(segment), self.threshold)

    def read(self, segment: np.ndarray) -> list[int]:
        """The tokens of a segment [T, F], in the sequence model's vocabulary."""
        if self.route(segment) == "sequence":
            return list(self.sequence(segment))
        return [self._token(label) for label in self.isolated(segment)]

    def _token(self, label: int) -> int:
        if self.vocabulary is None:
            return label
        if label not in self.vocabulary:
            raise BookError(f"label {label} of the isolated classifier has no token; add it to the vocabulary")
        return self.vocabulary[label]


def by_length(frames: int, threshold: int = THRESHOLD) -> Route:
    """The post's rule: isolated below the threshold, sequence from it on."""
    if frames < 1:
        raise BookError(f"a segment has {frames} frames; it needs at least 1")
    return "isolated" if frames < threshold else "sequence"


def dispatched(lengths: Sequence[int], isolated: Sequence, sequence: Sequence, threshold: int = THRESHOLD) -> list:
    """What the hybrid would have read, from what both recognisers read of each clip: for sweeps of the threshold."""
    rows = zip(lengths, isolated, sequence, strict=True)
    return [alone if by_length(frames, threshold) == "isolated" else phrase for frames, alone, phrase in rows]
