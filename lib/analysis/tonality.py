"""Keys, chords and cadences of four voices: what is measured of harmony and phrase.

Functions take the pitch that each voice sounds at each step (negative: silence). Chapter 07, evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lib.errors import BookError

# Krumhansl and Kessler (1982), as printed in Krumhansl, Cognitive Foundations of Musical Pitch (1990), page 30.
MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
TRIADS = {(0, 4, 7): "major", (0, 3, 7): "minor", (0, 3, 6): "diminished"}


@dataclass(frozen=True)
class Key:
    """A key: tonic as pitch class 0..11, mode, and the correlation of the music with its profile."""

    tonic: int
    mode: str
    correlation: float


def pitch_classes(pitches: np.ndarray) -> np.ndarray:
    """How many steps each of the twelve pitch classes sounds, [12], over all voices."""
    pitches = np.asarray(pitches)
    return np.bincount(pitches[pitches >= 0] % 12, minlength=12).astype(float)


def key_of(histogram: np.ndarray) -> Key:
    """The key whose profile correlates best with a histogram [12] of pitch classes (Krumhansl and Schmuckler).

    Raises BookError for a histogram without variance: silence, or all pitch classes alike.
    """
    histogram = np.asarray(histogram, dtype=float)
    if histogram.shape != (12,) or np.ptp(histogram) == 0:
        raise BookError(f"a histogram of shape {list(histogram.shape)} without variance has no key; give 12 counts")
    scores = {
        (tonic, mode): float(np.corrcoef(np.roll(profile, tonic), histogram)[0, 1])
        for tonic in range(12)
        for mode, profile in (("major", MAJOR), ("minor", MINOR))
    }
    (tonic, mode), best = max(scores.items(), key=lambda item: item[1])
    return Key(tonic, mode, best)


def key_stability(pitches: np.ndarray, window: int = 32, hop: int = 16) -> float:
    """Share of windows whose own key is the whole piece's or its relative; windows without a key count as not."""
    pitches = np.asarray(pitches)
    whole = key_of(pitch_classes(pitches))
    relative = (9, "minor") if whole.mode == "major" else (3, "major")
    home = {(whole.tonic, whole.mode), ((whole.tonic + relative[0]) % 12, relative[1])}
    hits = []
    for start in range(0, max(1, pitches.shape[1] - window + 1), hop):
        counts = pitch_classes(pitches[:, start : start + window])
        found = key_of(counts) if np.ptp(counts) else None
        hits.append(found is not None and (found.tonic, found.mode) in home)
    return float(np.mean(hits))


def triad(chord: np.ndarray) -> tuple[int, str] | None:
    """Root (pitch class) and kind of a complete triad sounded by pitches [V]; None for anything else."""
    classes = {int(pitch) % 12 for pitch in chord if pitch >= 0}
    for root in classes:
        kind = TRIADS.get(tuple(sorted((pitch - root) % 12 for pitch in classes)))
        if kind is not None:
            return root, kind
    return None


def triad_share(pitches: np.ndarray, every: int = 4) -> float:
    """Share of beats (every so many steps) on which the voices sound a complete triad."""
    chords = np.asarray(pitches)[:, ::every].T
    return float(np.mean([triad(chord) is not None for chord in chords]))


def cadences(pitches: np.ndarray, ends: np.ndarray) -> tuple[float, float]:
    """Of the phrase ends, the share on a major or minor triad in root position, and of authentic cadences.

    pitches: [V, T], bass last. ends: steps at which a phrase's last chord begins. Authentic: such a chord, and a bass
    that came to it by a fourth up or a fifth down. (nan, nan) without ends.
    """
    closed, authentic = [], []
    for end in ends:
        found = triad(pitches[:, end])
        bass = int(pitches[-1, end])
        rooted = found is not None and found[1] != "diminished" and bass % 12 == found[0]
        before = pitches[-1, :end]
        before = before[(before >= 0) & (before != bass)]
        closed.append(rooted)
        authentic.append(rooted and before.size > 0 and (bass - int(before[-1])) % 12 == 5)
    return (float(np.mean(closed)), float(np.mean(authentic))) if closed else (float("nan"), float("nan"))
