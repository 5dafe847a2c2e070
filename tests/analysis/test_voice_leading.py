"""Voice leading against music21's own judgement, and on cases made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from music21 import note, voiceLeading

from lib.analysis.voice_leading import (
    FIFTH,
    OCTAVE,
    RANGES,
    crossings,
    is_parallel,
    leaps,
    outside_ranges,
    parallels,
    slices,
)
from lib.errors import BookError


def pitched(midi: int) -> note.Note:
    made = note.Note()
    made.pitch.midi = int(midi)
    return made


WHITE = [p for p in range(40, 90) if p % 12 in (0, 2, 4, 5, 7, 9, 11)]
"""White keys alone: there a fifth is never spelled as another interval."""


@pytest.mark.parametrize("seed", range(4))
def test_music21_agrees_on_random_pairs(seed):
    """Its verdict on fifths, octaves and unisons, where both voices move the same way (it counts contrary ones too)."""
    rng = np.random.default_rng(seed)
    seen = {FIFTH: 0, OCTAVE: 0}
    for _ in range(200):
        place, gap, move = rng.integers(3, 12), rng.choice([0, 4, 7, 11, 2]), rng.integers(-2, 3)
        other = move if rng.random() < 0.7 else rng.integers(-2, 3)
        before = (WHITE[place + gap], WHITE[place])
        after = (WHITE[place + gap + move], WHITE[place + other])
        quartet = voiceLeading.VoiceLeadingQuartet(*(pitched(p) for p in (before[0], after[0], before[1], after[1])))
        same_way = (after[0] - before[0]) * (after[1] - before[1]) > 0
        found = {FIFTH: quartet.parallelFifth(), OCTAVE: quartet.parallelOctave() or quartet.parallelUnison()}
        for interval, theirs in found.items():
            assert is_parallel(before, after, interval) == bool(theirs and same_way), (before, after, interval)
            seen[interval] += bool(theirs and same_way)
    assert min(seen.values()) > 10


def test_hand_made_parallels():
    fifths = np.array([[67, 67, 69, 69, 71], [60, 60, 62, 62, 64]])
    assert parallels(fifths, FIFTH) == 100.0
    assert parallels(fifths, OCTAVE) == 0.0
    assert parallels(fifths[:, :2], FIFTH) == 0.0
    assert parallels(np.where(fifths == 62, -1, fifths), FIFTH) == 0.0


def test_slices_drop_what_stays():
    pitches = np.array([[60, 60, 62, 62], [48, 48, 48, 50]])
    assert slices(pitches).tolist() == [[60, 62, 62], [48, 48, 50]]
    with pytest.raises(BookError, match="at least one step"):
        slices(np.zeros((4, 0)))


def test_ranges_crossings_and_leaps():
    inside = RANGES.mean(axis=1).astype(int)[:, None].repeat(3, axis=1)
    assert outside_ranges(inside) == 0
    high = inside.copy()
    high[0, 1] = 90
    assert outside_ranges(high) == pytest.approx(1 / 12)
    assert crossings(inside) == 0
    swapped = inside[[1, 0, 2, 3]]
    assert crossings(swapped) == 1
    assert crossings(np.where(swapped == swapped[0], -1, swapped)) == 0
    assert leaps(np.array([[60, 68, 68, 70, -1, 50]])) == pytest.approx(1 / 2)
    assert leaps(np.full((2, 4), 60)) == 0
