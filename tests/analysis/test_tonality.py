"""Keys, triads and cadences against music21 on real chorales, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from music21 import chord, note, stream

from lib.analysis.tonality import cadences, key_of, key_stability, pitch_classes, triad, triad_share
from lib.datasets import music
from lib.errors import BookError

PIECES = music.load()


@pytest.mark.parametrize("index", [0, 7, 30, 100, 222])
def test_music21_finds_the_same_key(index):
    """Its Krumhansl-Schmuckler analysis of the same notes with the same profiles."""
    tokens = PIECES[index].tokens
    part = stream.Stream()
    for _, start, length, pitch, _ in music.notes(tokens):
        made = note.Note(quarterLength=length / 4)
        made.pitch.midi = pitch
        part.insert(start / 4, made)
    theirs = part.analyze("key.krumhanslkessler")
    ours = key_of(pitch_classes(music.sounding(tokens)))
    assert (ours.tonic, ours.mode) == (theirs.tonic.pitchClass, theirs.mode)
    assert ours.correlation == pytest.approx(theirs.correlationCoefficient, abs=0.02)


def test_music21_finds_the_same_triads():
    heard = music.sounding(PIECES[3].tokens)[:, ::4]
    for column in heard.T:
        made = chord.Chord([int(p) for p in column if p >= 0])
        kinds = {"major": made.isMajorTriad(), "minor": made.isMinorTriad(), "diminished": made.isDiminishedTriad()}
        found = triad(column)
        assert (found is not None) == any(kinds.values())
        if found is not None:
            assert kinds[found[1]]
            assert found[0] == made.root().pitchClass


def test_key_of_a_scale():
    assert key_of(np.bincount([0, 2, 4, 5, 7, 9, 11, 0, 4, 7], minlength=12)).mode == "major"
    assert key_of(np.bincount([0, 2, 4, 5, 7, 9, 11, 0, 4, 7], minlength=12)).tonic == 0
    with pytest.raises(BookError, match="no key"):
        key_of(np.ones(12))


def test_stability_of_a_piece_that_changes_its_key():
    scale = np.array([60, 62, 64, 65, 67, 69, 71, 72] * 4)
    home = np.stack([scale, scale - 12, scale - 12, scale - 24])
    assert key_stability(home) == 1.0
    wandering = np.concatenate([home, home, home, home + 6], axis=1)
    assert key_stability(wandering) < 1.0


def test_cadences_by_hand():
    """G major to C major in root position, then to the same chord over its third."""
    pitches = np.array([[71, 72, 72], [67, 67, 67], [62, 64, 60], [55, 48, 52]])
    assert cadences(pitches, np.array([1])) == (1.0, 1.0)
    assert cadences(pitches, np.array([2])) == (0.0, 0.0)
    assert cadences(pitches, np.array([1, 2])) == (0.5, 0.5)
    assert np.isnan(cadences(pitches, np.array([], dtype=int))).all()


def test_real_chorales_close_their_phrases():
    shares = []
    for piece in PIECES[:40]:
        heard, ends = music.sounding(piece.tokens), np.flatnonzero(music.fermatas(piece.tokens).any(axis=0))
        shares.append(cadences(heard, ends)[0])
        assert 0 <= triad_share(heard) <= 1
    assert np.nanmean(shares) > 0.8
