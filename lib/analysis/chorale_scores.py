"""All musical measures of a set of chorales at once, the embedding for a Fréchet distance, and two shuffles of them.

Tokens are those of lib.datasets.music. Chapter 07, evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib.analysis.frechet import frechet_distance
from lib.analysis.token_coherence import long_range_coherence
from lib.analysis.tonality import cadences, key_of, key_stability, pitch_classes, triad_share
from lib.analysis.voice_leading import FIFTH, OCTAVE, crossings, leaps, outside_ranges, parallels
from lib.errors import BookError
from lib.models import chorale_tokens

WINDOW, HOP = 32, 16
"""Two bars of four quarters, and half of it."""


def scores(tokens: np.ndarray) -> dict[str, float]:
    """The measures of one piece [4, T]; nan for a share of phrase ends when it has none."""
    pitches = chorale_tokens.sounding(tokens)
    ends = np.flatnonzero(chorale_tokens.fermatas(tokens).any(axis=0))
    closed, authentic = cadences(pitches, ends)
    onsets = np.flatnonzero(chorale_tokens.is_onset(tokens).any(axis=0))
    on_beat = onsets % chorale_tokens.STEPS_PER_QUARTER == 0
    return {
        "coherence": long_range_coherence(tokens, vocabulary=chorale_tokens.VOCABULARY, window=WINDOW, hop=HOP),
        "parallel fifths": parallels(pitches, FIFTH),
        "parallel octaves": parallels(pitches, OCTAVE),
        "outside range": outside_ranges(pitches),
        "crossings": crossings(pitches),
        "leaps": leaps(pitches),
        "triads on beats": triad_share(pitches),
        "key stability": key_stability(pitches, WINDOW, HOP),
        "onsets on beats": float(on_beat.mean()) if onsets.size else float("nan"),
        "fermatas per bar": 16 * len(ends) / tokens.shape[1],
        "closed phrases": closed,
        "authentic cadences": authentic,
    }


def mean_scores(pieces: Sequence[np.ndarray]) -> dict[str, float]:
    """The mean of every measure over pieces; pieces without a value are left out of its mean (nan if all are)."""
    rows = [scores(tokens) for tokens in pieces]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {name: float(np.nanmean(c)) if np.isfinite(c).any() else float("nan") for name, c in columns.items()}


def nearer(scored: dict[str, float], other: dict[str, float], real: dict[str, float]) -> list[str]:
    """The measures in which `scored` is nearer to the real pieces than `other`; nan is never nearer."""
    return [name for name in real if abs(scored[name] - real[name]) < _distance(other[name], real[name])]


def _distance(one: float, two: float) -> float:
    return abs(one - two) if np.isfinite(one) else float("inf")


def embedding(tokens: np.ndarray) -> np.ndarray:
    """What the Fréchet distance compares: one vector [39] for each window of two bars, [W, 39].

    12 shares of pitch classes counted from the piece's own tonic; 12 of intervals above the bass; 8 of melodic moves by
    size (0 to 6 semitones, more), all voices; onsets per step in each voice; 3 shares of onsets off the beat by phase.
    """
    pitches, onset = chorale_tokens.sounding(tokens), chorale_tokens.is_onset(tokens)
    counts = pitch_classes(pitches)
    tonic = key_of(counts).tonic if np.ptp(counts) else 0
    rows = []
    for start in range(0, tokens.shape[1] - WINDOW + 1, HOP):
        part, begun = pitches[:, start : start + WINDOW], onset[:, start : start + WINDOW]
        classes = np.roll(pitch_classes(part), -tonic)
        above = np.where((part[:3] >= 0) & (part[3] >= 0), part[:3] - part[3], -1)
        above = np.bincount(above[above >= 0] % 12, minlength=12)
        moves = [np.abs(np.diff(row[b & (row >= 0)])) for row, b in zip(part, begun, strict=True)]
        sizes = np.bincount(np.minimum(np.concatenate(moves), 7), minlength=8)
        phases = np.bincount(np.nonzero(begun)[1] % chorale_tokens.STEPS_PER_QUARTER, minlength=4)
        shares = [x / max(1, x.sum()) for x in (classes, above, sizes)]
        rows.append(np.concatenate([*shares, begun.mean(axis=1), (phases / max(1, phases.sum()))[1:]]))
    return np.array(rows)


def set_distance(pieces: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> float:
    """Fréchet distance between the embeddings of two sets of pieces."""
    one, two = (np.concatenate([embedding(tokens) for tokens in part]) for part in (pieces, reference))
    return frechet_distance(one, two)


def shuffled_beats(tokens: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The same quarters in another order: chords stay, their succession goes. Notes held across a cut begin anew."""
    beat = chorale_tokens.STEPS_PER_QUARTER
    blocks = [chorale_tokens.excerpt(tokens, start, beat) for start in range(0, tokens.shape[1] - beat + 1, beat)]
    return np.concatenate([blocks[i] for i in generator.permutation(len(blocks))], axis=1)


def mixed_voices(pieces: Sequence[np.ndarray], generator: np.random.Generator) -> list[np.ndarray]:
    """Every soprano with alto, tenor and bass of other pieces of the set: lines stay, their fitting together goes.

    Pieces [4, T] of one length, best in one key.
    """
    count = len(pieces)
    if count < 4:
        raise BookError(f"{count} pieces cannot lend their voices to one another; give four at least")
    ahead = [0, *generator.permutation(np.arange(1, count))[:3]]  # voice v comes from the piece so many places ahead
    return [np.stack([pieces[(i + ahead[v]) % count][v] for v in range(4)]) for i in range(count)]
