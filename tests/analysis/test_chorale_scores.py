"""The measures as a set, the embedding, the Fréchet distance, the coherence, and what shuffling does to them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from lib.analysis.chorale_scores import (
    embedding,
    mean_scores,
    mixed_voices,
    nearer,
    scores,
    set_distance,
    shuffled_beats,
)
from lib.analysis.frechet import frechet_distance
from lib.analysis.token_coherence import long_range_coherence, window_histograms
from lib.datasets import music
from lib.errors import BookError

PIECES = [music.excerpt(music.in_key(p).tokens, 0, 128) for p in music.load()[:40] if p.steps >= 128]


def test_shuffled_beats_keep_chords_and_lose_their_order():
    rng = np.random.default_rng(0)
    piece = PIECES[0]
    mixed = shuffled_beats(piece, rng)
    columns = [sorted(map(tuple, music.sounding(part)[:, ::4].T)) for part in (piece, mixed)]
    assert columns[0] == columns[1]
    real, shuffled = mean_scores(PIECES), mean_scores([shuffled_beats(p, rng) for p in PIECES])
    assert real["triads on beats"] == pytest.approx(shuffled["triads on beats"])
    assert shuffled["parallel fifths"] > 3 * real["parallel fifths"]
    assert abs(shuffled["coherence"] - real["coherence"]) < 0.01  # the measure cannot see order


def test_mixed_voices_keep_lines_and_lose_harmony():
    mixed = mixed_voices(PIECES, np.random.default_rng(0))
    assert np.array_equal(mixed[3][0], PIECES[3][0])
    assert not any(np.array_equal(one, two) for one, two in zip(mixed, PIECES, strict=True))
    real, other = mean_scores(PIECES), mean_scores(mixed)
    assert other["leaps"] == pytest.approx(real["leaps"], abs=0.01)
    assert other["triads on beats"] < real["triads on beats"] / 2
    with pytest.raises(BookError, match="four at least"):
        mixed_voices(PIECES[:3], np.random.default_rng(0))


def test_distance_orders_real_and_shuffled():
    rng = np.random.default_rng(0)
    half = len(PIECES) // 2
    floor = set_distance(PIECES[:half], PIECES[half:])
    assert floor < set_distance([shuffled_beats(p, rng) for p in PIECES[:half]], PIECES[half:])
    assert embedding(PIECES[0]).shape == (7, 39)


def test_nearer_needs_a_smaller_distance():
    real = {"a": 1.0, "b": 0.0, "c": 0.5}
    assert nearer({"a": 0.9, "b": 0.5, "c": float("nan")}, {"a": 0.5, "b": 0.4, "c": 9.0}, real) == ["a"]
    assert nearer({"a": 0.0, "b": 0.0, "c": 0.0}, dict.fromkeys("abc", float("nan")), real) == ["a", "b", "c"]


def test_a_piece_without_phrase_ends_has_no_cadences():
    silent = np.where(music.fermatas(PIECES[0]), music.HOLD, PIECES[0])
    assert np.isnan(scores(silent)["closed phrases"])
    assert np.isfinite(mean_scores([silent, PIECES[1]])["closed phrases"])


def test_frechet_equals_the_matrix_square_root():
    rng = np.random.default_rng(1)
    one, two = rng.normal(size=(50, 4)), 2 * rng.normal(size=(60, 4)) + 1
    a, b = np.cov(one, rowvar=False), np.cov(two, rowvar=False)
    wanted = np.square(one.mean(0) - two.mean(0)).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_distance(one, two) == pytest.approx(wanted, rel=1e-6)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(one + 3, one) == pytest.approx(36, rel=1e-6)
    with pytest.raises(BookError, match="two rows"):
        frechet_distance(one[:1], two)


def test_coherence_by_hand():
    """Two codebooks; the first alternates between two halves of its tokens, the second never changes."""
    codes = np.array([[0, 0, 1, 1, 0, 0], [5] * 6])
    assert window_histograms(codes, 6, 2, 2).shape == (3, 2, 6)
    assert long_range_coherence(codes, vocabulary=6, window=2, hop=2) == pytest.approx(1.0)
    codes[0, 4:] = 2
    assert long_range_coherence(codes, vocabulary=6, window=2, hop=2) == pytest.approx(0.5)
    with pytest.raises(BookError, match="not adjacent"):
        long_range_coherence(codes[:, :4], vocabulary=6, window=2, hop=2)
    with pytest.raises(BookError, match="no window"):
        long_range_coherence(codes[:, :1], vocabulary=6, window=2, hop=2)
