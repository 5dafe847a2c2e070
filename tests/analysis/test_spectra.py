"""Spectral parameters: planted lines and peaks are found, fooof agrees, and so do thousands at once."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from lib.analysis import spectra, spectral_screening
from lib.errors import BookError

FREQS = np.arange(1.0, 50.01, 0.5)


def planted(peaks=(), exponent=1.2, offset=0.5, noise=0.0, seed=0, freqs=FREQS):
    """A spectrum with peaks (centre, bandwidth, height) above a line; noise in log10 units."""
    level = offset - exponent * np.log10(freqs)
    for centre, width, height in peaks:
        level = level + height * np.exp(-((freqs - centre) ** 2) / (2 * (width / 2) ** 2))
    return 10 ** (level + noise * np.random.default_rng(seed).normal(size=len(freqs)))


def random_spectra(count, noise=0.03, seed=0):
    rng = np.random.default_rng(seed)
    exponents = rng.uniform(0.7, 2.0, count)
    places = [
        [
            (low + (high - low) * rng.random(), rng.uniform(1.5, 4), rng.uniform(0.2, 1))
            for low, high in ((7, 12), (14, 31))
            if rng.random() < 0.85
        ]
        for _ in range(count)
    ]
    return (
        exponents,
        places,
        np.stack(
            [
                planted(where, slope, noise=noise, seed=seed + i)
                for i, (where, slope) in enumerate(zip(places, exponents, strict=True))
            ]
        ),
    )


def test_a_planted_line_and_peaks_are_found():
    found = spectra.peaks(FREQS, planted([(10, 3, 0.8), (24, 4, 0.5)], noise=0.005))
    assert found.exponent == pytest.approx(1.2, abs=0.03)
    assert found.offset == pytest.approx(0.5, abs=0.04)
    np.testing.assert_allclose(found.peaks, [[10, 3, 0.8], [24, 4, 0.5]], atol=0.25)


def test_a_bare_line_has_no_peak_and_the_band_falls_back():
    psd = planted(exponent=0.9)
    assert spectra.peaks(FREQS, psd).peaks.shape == (0, 3)
    assert spectra.subject_band(FREQS, psd) == spectra.Band(13.0, 30.0, found=False)


@pytest.mark.parametrize("band", [(29, 32), (15, 20), (28, 32), (13, 19), (23, 28), (17, 24), (20, 25)], ids=str)
def test_the_reported_bands_are_recovered(band):
    """Each of the post's seven beta bands, planted as one peak of that width beside an alpha peak."""
    low, high = band
    psd = planted([(10, 3, 0.6), ((low + high) / 2, high - low, 0.5)], noise=0.02)
    found = spectra.subject_band(FREQS, psd)
    assert found.found
    assert abs(found.low - low) < 1
    assert abs(found.high - high) < 1


def test_the_highest_peak_in_the_search_range_wins_and_a_narrow_one_is_widened():
    psd = planted([(10, 3, 1.0), (18, 1.6, 0.3), (27, 2, 0.6)], noise=0.005)
    found = spectra.subject_band(FREQS, psd, narrowest=5)
    assert found.centre == pytest.approx(27, abs=0.3)
    assert found.high - found.low == pytest.approx(5)
    assert spectra.subject_band(FREQS, psd, search=(14, 22)).centre == pytest.approx(18, abs=0.3)


def test_how_much_of_a_band_lies_outside_another():
    for low, high, share in ((29, 32, 2 / 3), (28, 32, 0.5), (15, 20, 0), (31, 35, 1), (5, 40, 18 / 35)):
        assert spectra.Band(low, high, True).outside() == pytest.approx(share)


def test_welch_of_a_sine_has_its_power_at_its_frequency():
    moments = np.arange(2000) / 200
    freqs, psd = spectra.power_spectra(np.stack([np.sin(2 * np.pi * 20 * moments), 0 * moments]), 200.0)
    assert psd.shape == (2, len(freqs))
    assert freqs[psd[0].argmax()] == 20
    assert psd[0].sum() * (freqs[1] - freqs[0]) == pytest.approx(0.5, rel=0.02)
    assert psd[1].max() < 1e-20


@pytest.fixture(scope="module")
def oracle():
    with warnings.catch_warnings(record=True):  # it announces its successor whatever the filters say
        warnings.simplefilter("ignore")
        try:
            import fooof
        except ImportError:
            pytest.skip("fooof, the oracle, is not installed")

    def fit(psd):
        model = fooof.FOOOF(
            peak_width_limits=spectra.WIDTHS, max_n_peaks=6, min_peak_height=spectra.LOWEST_PEAK, verbose=False
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(FREQS, psd, [3, 40])
        return model.aperiodic_params_, model.peak_params_

    return fit


def test_fooof_agrees_in_summary(oracle):
    """Single peaks may differ between the two; their lines and the highest beta peak hardly ever do."""
    _, _, psd = random_spectra(40)
    slopes, centres = [], []
    for one in psd:
        found, (line, peaks) = spectra.peaks(FREQS, one), oracle(one)
        slopes.append(found.exponent - line[1])
        own = spectra.highest(found.peaks, (13, 35))
        theirs = spectra.highest(np.reshape(peaks, (-1, 3))[:, [0, 2, 1]], (13, 35))
        centres.append(own.centre - theirs.centre)
    assert np.median(np.abs(slopes)) < 1e-3
    assert np.quantile(np.abs(slopes), 0.9) < 0.02
    assert np.mean(np.abs(centres) < 1) > 0.9


@pytest.mark.parametrize("noise", [0.005, 0.03, 0.08])
def test_all_at_once_is_one_by_one(noise):
    _, _, psd = random_spectra(40, noise=noise, seed=3)
    together = spectral_screening.screen(FREQS, psd)
    single = [spectra.peaks(FREQS, one) for one in psd]
    differences = np.abs(together.exponents - [one.exponent for one in single])
    assert np.quantile(differences, 0.95) < 0.02
    own = [spectra.highest(rows[~np.isnan(rows[:, 0])], (13, 35)).centre for rows in together.peaks]
    theirs = [spectra.highest(one.peaks, (13, 35)).centre for one in single]
    assert np.mean(np.abs(np.subtract(own, theirs)) < 0.5) >= 0.85


def test_exponents_are_recovered_the_better_the_less_noise():
    errors = []
    for noise in (0.1, 0.03, 0.01):
        exponents, _, psd = random_spectra(60, noise=noise, seed=5)
        errors.append(np.abs(spectral_screening.screen(FREQS, psd).exponents - exponents).mean())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.02


def test_each_spectrum_is_screened_alone():
    """The company of other spectra changes nothing; one spectrum may come without a row axis."""
    _, _, psd = random_spectra(12)
    together = spectral_screening.screen(FREQS, psd)
    for index in (0, 5, 11):
        alone = spectral_screening.screen(FREQS, psd[index])
        np.testing.assert_allclose(alone.exponents, together.exponents[index], atol=1e-9)
        np.testing.assert_allclose(alone.peaks[0], together.peaks[index], atol=1e-6)


def test_power_scales_the_offset_and_nothing_else():
    _, _, psd = random_spectra(8)
    one, other = spectral_screening.screen(FREQS, psd), spectral_screening.screen(FREQS, 1e-12 * psd)
    np.testing.assert_allclose(other.offsets, one.offsets - 12, atol=1e-9)
    np.testing.assert_allclose(other.exponents, one.exponents, atol=1e-9)


def test_lines_are_least_squares():
    rng = np.random.default_rng(0)
    x, y, weights = np.log10(FREQS), rng.normal(size=(3, len(FREQS))), rng.random((3, len(FREQS)))
    offsets, exponents = spectral_screening.line(x, y, weights)
    for row in range(3):
        slope, level = np.polyfit(x, y[row], 1, w=np.sqrt(weights[row]))
        assert (-slope, level) == pytest.approx((exponents[row], offsets[row]))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: spectra.peaks(FREQS, np.zeros_like(FREQS)), "not positive"),
        (lambda: spectra.peaks(FREQS, np.ones((2, len(FREQS)))), r"\(2, 79\)|\(2, 75\)"),
        (lambda: spectra.peaks(FREQS, np.ones(5)), r"\(5,\)"),
        (lambda: spectra.peaks(FREQS, np.ones_like(FREQS), span=(20, 21)), "8 or more"),
        (lambda: spectral_screening.screen(FREQS, -np.ones((3, len(FREQS)))), "not positive"),
        (lambda: spectra.power_spectra(np.ones(100), 200.0), "100 samples"),
    ],
)
def test_refusals_name_the_value(call, said):
    with pytest.raises(BookError, match=said):
        call()
