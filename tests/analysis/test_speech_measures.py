"""Measures of speech: zero for equals, known values for known changes, and nulls that are what they say."""

import numpy as np
import pytest

from lib.analysis.speech_measures import (
    cepstra,
    fast_modulation_share,
    frechet_distance,
    log_spectral_distance,
    median_pitch,
    mel_cepstral_distortion,
    null_codes,
    speech_measures,
    steady_pitch_share,
    voiced_share,
)
from lib.errors import BookError
from lib.models.log_mel import MelConfig
from lib.models.vocoder import pulses

MEL = MelConfig()
RNG = np.random.default_rng(0)
NOISE = (0.1 * RNG.standard_normal(48_000)).astype(np.float32)
TIME = np.arange(48_000) / 24_000
BUZZ = 0.1 * pulses(np.full(150, 120.0), 0.0, MEL)[0]


def test_a_wave_is_no_distance_from_itself() -> None:
    assert log_spectral_distance(NOISE, NOISE) == 0
    assert mel_cepstral_distortion(NOISE, NOISE) == 0
    assert frechet_distance([NOISE], [NOISE]) == pytest.approx(0, abs=1e-5)


def test_halving_costs_six_decibels_of_spectrum_and_none_of_cepstra() -> None:
    assert log_spectral_distance(NOISE, NOISE / 2) == pytest.approx(20 * np.log10(2), abs=0.05)
    assert mel_cepstral_distortion(NOISE, NOISE / 2) == pytest.approx(0, abs=1e-3)


def test_cepstra_are_the_cosine_sums_of_their_docstring() -> None:
    from lib.models.log_mel import log_mel

    levels = log_mel(NOISE, MEL)
    k, m = np.arange(1, 14)[:, None], np.arange(MEL.bands)
    expected = levels @ np.cos(np.pi * k * (m + 0.5) / MEL.bands).T / MEL.bands
    np.testing.assert_allclose(cepstra(NOISE), expected, atol=1e-5)


def test_mcd_is_the_field_formula_on_a_known_tilt() -> None:
    from scipy.signal import lfilter

    tilted = lfilter([1, -0.9], [1], NOISE)
    apart = cepstra(NOISE) - cepstra(tilted)
    expected = np.mean(10 / np.log(10) * np.sqrt(2 * (apart**2).sum(1)))
    assert mel_cepstral_distortion(NOISE, tilted) == pytest.approx(expected)
    assert expected > 1


@pytest.mark.parametrize(("hertz", "low", "high"), [(4.0, 0.0, 0.15), (20.0, 0.8, 1.0)])
def test_modulation_share_follows_the_rate_of_loudness(hertz: float, low: float, high: float) -> None:
    tone = np.sin(2 * np.pi * 1000 * TIME) * 0.2
    wave = tone * np.exp(1.5 * np.sin(2 * np.pi * hertz * TIME)) * 0.2
    assert low <= fast_modulation_share(wave) <= high


def test_modulation_share_of_stillness_is_zero() -> None:
    assert fast_modulation_share(np.zeros(24_000)) < 1e-12


def test_voicing_and_pitch_of_buzz_and_noise() -> None:
    assert voiced_share(BUZZ) > 0.95
    assert voiced_share(NOISE) < 0.1
    assert median_pitch(BUZZ) == pytest.approx(120, rel=0.01)
    assert median_pitch(np.zeros(4800)) == 0
    assert steady_pitch_share(BUZZ) > 0.95
    jumps = 0.1 * pulses(RNG.uniform(70, 300, 150), 0.0, MEL)[0]
    assert steady_pitch_share(jumps) < 0.4


def test_frechet_distance_grows_with_difference_and_is_symmetric() -> None:
    near = frechet_distance([NOISE[:24_000]], [NOISE[24_000:]])
    far = frechet_distance([NOISE], [BUZZ])
    assert far > 5 * near
    assert far == pytest.approx(frechet_distance([BUZZ], [NOISE]), rel=1e-3)


def test_frechet_distance_is_that_of_two_gaussians(monkeypatch: pytest.MonkeyPatch) -> None:
    from lib.analysis import speech_measures as module

    draws = {"a": RNG.standard_normal((40_000, 2)), "b": 2 + 3 * RNG.standard_normal((40_000, 2))}
    monkeypatch.setattr(module, "cepstra", lambda wave, mel: draws[wave])
    monkeypatch.setattr(module, "_with_slopes", lambda rows: rows)
    assert frechet_distance(["a"], ["b"]) == pytest.approx(2 * 4 + 2 * (1 + 9 - 6), rel=0.03)


def test_nulls_keep_what_they_promise() -> None:
    codes = RNG.integers(0, 9, (4, 200))
    frames = null_codes(codes, "frames shuffled", 9, np.random.default_rng(0))
    assert sorted(map(tuple, frames.T)) == sorted(map(tuple, codes.T))
    assert (frames != codes).any()
    mixed = null_codes(codes, "codes shuffled", 9, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(mixed, 1), np.sort(codes, 1))
    assert sorted(map(tuple, mixed.T)) != sorted(map(tuple, codes.T))
    drawn = null_codes(codes, "uniform", 256, np.random.default_rng(0))
    assert drawn.shape == codes.shape
    assert drawn.max() > 100
    held = null_codes(codes, "frame held", 9, np.random.default_rng(0))
    assert (held == held[:, :1]).all()
    assert held[-1, 0] > 0
    assert tuple(held[:, 0]) in set(map(tuple, codes.T))
    with pytest.raises(BookError, match="no frame of these codes is voiced"):
        null_codes(0 * codes, "frame held", 9, RNG)
    with pytest.raises(BookError, match="kind='other'"):
        null_codes(codes, "other", 9, RNG)


def test_all_measures_come_together() -> None:
    found = speech_measures([BUZZ, NOISE], [BUZZ])
    assert set(found) == {"fast_modulation", "voiced", "steady_pitch", "pitch", "distance", "speech_probability"}
    assert found["voiced"] == pytest.approx((voiced_share(BUZZ) + voiced_share(NOISE)) / 2)
