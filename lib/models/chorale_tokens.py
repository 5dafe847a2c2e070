"""Four parallel voices as tokens on a grid of sixteenths: what the numbers mean, and how they sound.

A voice is one row: REST begins a silence, HOLD goes on with what sounds, and every pitch has two tokens, the second for
a note under a fermata (the end of a phrase; written on the soprano alone, since all voices share it). Pieces are
[4, T], soprano first. Used by chapters 07 and 08; `lib.datasets.music` reads the pieces and offers these names too.
"""

from __future__ import annotations

import itertools

import numpy as np

from lib.errors import BookError

VOICES = ("soprano", "alto", "tenor", "bass")
STEPS_PER_QUARTER = 4
LOW, HIGH = 30, 87
"""Lowest and highest pitch with a token, as MIDI numbers: the corpus lies within, six semitones from either end."""
SPAN = HIGH - LOW + 1
REST, HOLD, FIRST = 0, 1, 2
FERMATA = FIRST + SPAN
"""First token of the pitches under a fermata."""
PAD = FIRST + 2 * SPAN
VOCABULARY = PAD + 1
SILENT = -1
"""What `sounding` writes where a voice is silent."""


def token(pitch: int, fermata: bool = False) -> int:
    """The token of a MIDI pitch. Raises BookError for one outside LOW..HIGH."""
    if not LOW <= pitch <= HIGH:
        raise BookError(f"pitch {pitch} has no token; the tokens reach from {LOW} to {HIGH}")
    return (FERMATA if fermata else FIRST) + pitch - LOW


def is_onset(tokens: np.ndarray) -> np.ndarray:
    """Where a note begins: bool, of the shape of tokens."""
    tokens = np.asarray(tokens)
    return (tokens >= FIRST) & (tokens < PAD)


def pitch_of(tokens: np.ndarray) -> np.ndarray:
    """The MIDI pitch of every onset; SILENT where no note begins."""
    tokens = np.asarray(tokens).astype(int)
    return np.where(is_onset(tokens), LOW + (tokens - FIRST) % SPAN, SILENT)


def fermatas(tokens: np.ndarray) -> np.ndarray:
    """Where a note under a fermata begins: bool, of the shape of tokens."""
    tokens = np.asarray(tokens)
    return (tokens >= FERMATA) & (tokens < PAD)


def sounding(tokens: np.ndarray) -> np.ndarray:
    """The MIDI pitch that each voice sounds at each step [..., T]; SILENT in rests and before the first onset."""
    tokens = np.asarray(tokens)
    steps = np.arange(tokens.shape[-1])
    last = np.maximum.accumulate(np.where(tokens == HOLD, -1, steps), axis=-1)
    held = np.take_along_axis(pitch_of(tokens), np.maximum(last, 0), axis=-1)
    return np.where(last < 0, SILENT, held)


def notes(tokens: np.ndarray) -> list[tuple[int, int, int, int, bool]]:
    """All notes of tokens [4, T] as (voice, start, length, pitch, fermata), by voice and start, in steps."""
    found = []
    pitches, marks = pitch_of(tokens), fermatas(tokens)
    for voice, row in enumerate(np.asarray(tokens)):
        changes = np.append(np.flatnonzero(row != HOLD), len(row))
        for start, end in itertools.pairwise(changes):
            if row[start] != REST:
                pitch, mark = int(pitches[voice, start]), bool(marks[voice, start])
                found.append((voice, int(start), int(end - start), pitch, mark))
    return found


def excerpt(tokens: np.ndarray, start: int, steps: int) -> np.ndarray:
    """Steps start .. start + steps of tokens [4, T]; notes that sound at the cut begin there."""
    cut = np.array(tokens[:, start : start + steps])
    if start:
        before = sounding(tokens[:, : start + 1])[:, -1]
        begin = np.where(before == SILENT, REST, FIRST + before - LOW)
        cut[:, 0] = np.where(cut[:, 0] == HOLD, begin, cut[:, 0])
    return cut


def transpose(tokens: np.ndarray, semitones: int) -> np.ndarray:
    """The same music higher or lower. Raises BookError when a note leaves the pitches that have tokens."""
    pitches, onset = pitch_of(tokens), is_onset(tokens)
    if onset.any():
        low, high = int(pitches[onset].min()) + semitones, int(pitches[onset].max()) + semitones
        if low < LOW or high > HIGH:
            raise BookError(
                f"transposed by {semitones} the notes reach {low} to {high}; tokens exist for {LOW}..{HIGH}"
            )
    return np.where(onset, tokens + semitones, tokens).astype(np.asarray(tokens).dtype)
