"""How far a decoded sequence is from the right one: edits, error rates, stops. Chapter 02."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from lib.errors import BookError


def edits(found: Sequence[Hashable], right: Sequence[Hashable]) -> int:
    """Fewest insertions, deletions and substitutions from one sequence to the other (Levenshtein 1966)."""
    row = list(range(len(right) + 1))
    for place, item in enumerate(found, start=1):
        diagonal, row[0] = row[0], place
        for column, other in enumerate(right, start=1):
            best = min(row[column] + 1, row[column - 1] + 1, diagonal + (item != other))
            diagonal, row[column] = row[column], best
    return row[-1]


def error_rate(found: Sequence[Sequence[Hashable]], right: Sequence[Sequence[Hashable]]) -> float:
    """Edits over the length of what was right, summed over sequences: above 1 when too much was written.

    On lists of letters it is the letter error rate, on lists of words the word error rate. Raises BookError for
    different counts or nothing to compare.
    """
    total = sum(map(len, right))
    if len(found) != len(right) or not total:
        raise BookError(
            f"{len(found)} sequences found, {len(right)} right, {total} items: give as many, and some items"
        )
    return sum(edits(one, other) for one, other in zip(found, right, strict=True)) / total


@dataclass(frozen=True)
class Scores:
    """What a set of decoded sequences comes to."""

    exact: float
    """Share of sequences without any error."""
    letter_errors: float
    """Letter error rate; a blank counts as a letter."""
    word_errors: float
    """Word error rate."""
    stopped: float
    """Share that ended with a stop of its own."""
    length_error: float
    """Mean absolute difference of lengths, in tokens."""
    right: tuple[bool, ...]
    """Which sequences are without error."""


def score(found: Sequence[str], right: Sequence[str], stopped: Sequence[bool] | None = None) -> Scores:
    """Score decoded texts against right ones. stopped: whether each ended by itself; all, if None."""
    matches = tuple(one == other for one, other in zip(found, right, strict=True))
    return Scores(
        float(np.mean(matches)),
        error_rate(found, right),
        error_rate([text.split() for text in found], [text.split() for text in right]),
        1.0 if stopped is None else float(np.mean(stopped)),
        float(np.mean([abs(len(one) - len(other)) for one, other in zip(found, right, strict=True)])),
        matches,
    )
