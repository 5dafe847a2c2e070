"""How four voices move together: parallel fifths and octaves, ranges, crossings, leaps.

All functions take the pitch that each voice sounds at each step, `lib.datasets.music.sounding`, with negative numbers
for silence. Chapter 07, evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from lib.errors import BookError

RANGES = np.array([[60, 79], [53, 74], [48, 67], [40, 62]])
"""Usual ranges of soprano, alto, tenor and bass in a choir, as MIDI pitches: C4-G5, F3-D5, C3-G4, E2-D4."""
FIFTH, OCTAVE = 7, 0


def slices(pitches: np.ndarray) -> np.ndarray:
    """The successive different chords of pitches [V, T], as [V, S]; a step equal to the one before adds nothing."""
    pitches = np.asarray(pitches)
    if pitches.ndim != 2 or not pitches.shape[1]:
        raise BookError(f"pitches have shape {list(pitches.shape)}; give [voices, steps] with at least one step")
    new = np.append(True, (np.diff(pitches, axis=1) != 0).any(axis=0))
    return pitches[:, new]


def is_parallel(before: Sequence[int], after: Sequence[int], interval: int) -> bool:
    """Whether two voices move in the same direction from one perfect interval (7 or 0 semitones, mod 12) to the same.

    before, after: the pitches of the upper and the lower voice. Silence takes no part, nor does a voice that stays.
    """
    if min(*before, *after) < 0:
        return False
    moves = [new - old for old, new in zip(before, after, strict=True)]
    same_way = moves[0] * moves[1] > 0
    return same_way and all((abs(pair[0] - pair[1])) % 12 == interval for pair in (before, after))


def parallels(pitches: np.ndarray, interval: int) -> float:
    """Parallel perfect intervals per 100 changes of chord, over all pairs of voices; 0 where nothing changes."""
    chords = slices(pitches)
    changes = chords.shape[1] - 1
    found = sum(
        is_parallel(chords[[i, j], s], chords[[i, j], s + 1], interval)
        for i, j in combinations(range(len(chords)), 2)
        for s in range(changes)
    )
    return 100 * found / max(1, changes)


def outside_ranges(pitches: np.ndarray, ranges: np.ndarray = RANGES) -> float:
    """Share of sounding steps at which a voice is outside its range."""
    sounding = np.asarray(pitches) >= 0
    outside = (pitches < ranges[:, :1]) | (pitches > ranges[:, 1:])
    return float((outside & sounding).sum() / max(1, sounding.sum()))


def crossings(pitches: np.ndarray) -> float:
    """Share of steps at which some voice sounds below the next lower one."""
    pitches = np.asarray(pitches)
    both = (pitches[:-1] >= 0) & (pitches[1:] >= 0)
    return float(((pitches[:-1] < pitches[1:]) & both).any(axis=0).mean())


def leaps(pitches: np.ndarray, least: int = 8) -> float:
    """Share of a voice's moves to another pitch that span at least `least` semitones; rests break a line."""
    steps = []
    for row in np.asarray(pitches):
        both = (row[1:] >= 0) & (row[:-1] >= 0)
        steps.append(np.abs(np.diff(row))[both])
    moves = np.concatenate(steps)
    moves = moves[moves > 0]
    return float((moves >= least).mean()) if moves.size else 0.0
