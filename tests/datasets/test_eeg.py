"""Simulated heads: what is planted is there, by physics, by spectrum and by class; real ones have the same form."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from lib.analysis import (
    ComponentChoice,
    amari_index,
    covariances,
    matched,
    pattern_similarity,
    peaks,
    permutation_scores,
    plane_similarity,
    power_spectra,
    topography,
)
from lib.analysis.spatial_filters import CSP, BandPass
from lib.datasets import eeg, eeg_real, registry
from lib.errors import BookError

QUIET = eeg.Effects(background=1e-3, alpha=0, beta=0, theta=0, nuisance=0, blinks=0, muscle=0, line=0, sensor=1e-3)


@pytest.fixture(scope="module")
def head():
    return eeg.simulate(2, seed=7, trials=150)


def test_the_form_of_a_recording(head):
    assert head.epochs.shape == (150, 32, 400)
    assert head.labels.sum() == 30
    assert head.rate == 200
    assert np.abs(head.epochs.mean(axis=1)).max() < 1e-10
    assert head.truth.maps.shape == (len(eeg.SOURCES), 32)
    assert head.truth.beta == eeg.BETA[2]
    assert set(head.session) == {0}
    assert 5 < head.epochs.std() < 30  # microvolts


def test_a_seed_gives_one_head_and_studies_differ():
    first, again, other = (eeg.simulate(3, seed=seed, trials=20) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.epochs, again.epochs)
    assert not np.allclose(first.epochs, other.epochs)
    assert first.truth.alpha is None
    assert "alpha_left" not in first.truth.courses


def test_maps_are_where_anatomy_puts_them(head):
    maps = dict(zip(head.truth.names, head.truth.maps, strict=True))
    for name, region in (
        ("beta_left", "central"),
        ("muscle_right", "temporal"),
        ("blink", "frontal"),
        ("alpha_left", "posterior"),
    ):
        shares = topography(maps[name], head.positions)
        assert max(shares, key=shares.get) == region
    names = head.info["ch_names"]
    assert names[np.abs(maps["beta_left"]).argmax()] in ("C3", "FC1", "CP1", "FC5", "CP5")
    assert names[np.abs(maps["muscle_left"]).argmax()] in ("T7", "F7")


def test_a_dipole_and_its_opposite_have_opposite_maps_of_height_one():
    places = np.array([[0.3, 0.2, 0.5]])
    out, back = eeg.scalp_maps(places, places), eeg.scalp_maps(places, -places)
    np.testing.assert_allclose(out, -back)
    assert np.abs(out).max() == 1
    assert out.sum() == pytest.approx(0, abs=1e-12)


def test_noise_has_the_variance_and_spectrum_that_it_is_given():
    freqs = np.fft.rfftfreq(400, 1 / 200)
    power = np.exp(-((freqs - 20) ** 2) / (2 * 3**2))
    noise = eeg.noise_with(power, (1600, 400), np.random.default_rng(0))
    assert noise.var() == pytest.approx(1, rel=0.03)
    found, psd = power_spectra(noise, 200.0)
    inside = (found > 12) & (found < 28)
    mean, wanted = psd.mean(axis=0)[inside], np.interp(found[inside], freqs, power)
    tenth = 0.1 / wanted.sum()  # of the peak's height
    np.testing.assert_allclose(mean / mean.sum(), wanted / wanted.sum(), atol=tenth)


@pytest.mark.parametrize("subject", [1, 4, 7])
def test_the_backgrounds_exponent_is_recovered(subject):
    effects = replace(QUIET, background=8.0)
    recording = eeg.simulate(subject, seed=3, trials=60, effects=effects)
    freqs, psd = power_spectra(recording.epochs, recording.rate)
    assert peaks(freqs, psd.mean(axis=(0, 1))).exponent == pytest.approx(recording.truth.exponent, abs=0.08)


@pytest.mark.parametrize("name", ["beta", "theta"])
def test_stops_carry_the_signature_and_goes_do_not(name):
    recording = eeg.simulate(5, seed=0, trials=200)
    course = recording.truth.courses["beta_left" if name == "beta" else "theta"]
    power = (course[:, 160:240] if name == "beta" else course[:, 80:160]) ** 2
    stop, go = (power[recording.labels == label].mean() for label in (1, 0))
    assert (stop < 0.5 * go) if name == "beta" else (stop > 1.3 * go)
    none = replace(eeg.Effects(), beta_drop=0.0, theta_rise=0.0)
    still = eeg.simulate(5, seed=0, trials=200, effects=none)
    course = still.truth.courses["beta_left" if name == "beta" else "theta"] ** 2
    assert course[still.labels == 1].mean() == pytest.approx(course[still.labels == 0].mean(), rel=0.35)


def test_without_effects_nothing_decodes_and_each_artefact_decodes_by_its_band():
    none = replace(eeg.Effects(), beta_drop=0.0, theta_rise=0.0)

    def score(effects, band):
        found = [eeg.simulate(6, seed=seed, trials=150, effects=effects) for seed in (0, 1)]
        filtered = [covariances(BandPass(*band, one.rate).fit(None).transform(one.epochs)) for one in found]
        return np.mean(
            [permutation_scores(c, one.labels, permutations=0)[0] for c, one in zip(filtered, found, strict=True)]
        )

    assert abs(score(none, (13, 30)) - 0.5) < 0.15
    assert score(replace(none, saccade=20.0), (1, 30)) > 0.95
    assert score(replace(none, muscle=4.0, muscle_stop=1.0), (30, 60)) > 0.8


def test_the_csp_pattern_is_the_planted_map_the_more_signal_the_better():
    """Recovery over signal-to-noise: the best pattern lies in the plane of the two motor maps."""
    found = []
    for beta in (0.5, 2.0, 8.0):
        recording = eeg.simulate(2, seed=4, trials=200, effects=replace(eeg.Effects(), beta=beta))
        filtered = BandPass(*recording.truth.beta, recording.rate).fit(None).transform(recording.epochs)
        pattern = CSP(2).fit(filtered, recording.labels).patterns_[0]
        motor = recording.truth.maps[[recording.truth.names.index(f"beta_{s}") for s in ("left", "right")]]
        found.append(plane_similarity(pattern, motor))
    assert found[0] < found[1] < found[2]
    assert found[2] > 0.97


def test_a_band_of_ones_own_moves_the_rhythm_and_nothing_else():
    mine, theirs = (eeg.simulate(2, seed=1, trials=60, beta=band) for band in (None, (28.0, 32.0)))
    assert theirs.truth.beta == (28.0, 32.0)
    assert mine.truth.beta == eeg.BETA[2]
    for name, band in (("beta_left", (28.0, 32.0)), ("theta", eeg.THETA)):
        freqs, power = power_spectra(theirs.truth.courses[name], eeg.RATE)
        assert band[0] <= freqs[power.mean(axis=0).argmax()] <= band[1]
    np.testing.assert_array_equal(mine.truth.courses["theta"], theirs.truth.courses["theta"])
    np.testing.assert_array_equal(mine.labels, theirs.labels)


def test_the_loud_sources_are_unmixed_the_better_the_weaker_the_background():
    found = []
    for background in (8.0, 2.0, 0.3):
        recording = eeg.simulate(2, seed=5, trials=80, effects=replace(eeg.Effects(), background=background))
        loud = [recording.truth.names.index(name) for name in ("blink", "muscle_left", "muscle_right", "alpha_left")]
        maps = ComponentChoice(recording.rate).unmix(recording.epochs).patterns_
        found.append(matched(pattern_similarity(maps, recording.truth.maps[loud]))[0].mean())
    assert found[2] > found[0]
    assert found[2] > 0.9


def test_the_amari_index_of_known_sources_falls_without_background():
    values = []
    for background in (8.0, 0.1):
        effects = replace(eeg.Effects(), background=background, line=0.0)
        recording = eeg.simulate(2, seed=6, trials=80, effects=effects)
        choice = ComponentChoice(recording.rate, n_components=9).unmix(recording.epochs)
        values.append(amari_index(choice.filters_ @ recording.truth.maps[:-1].T))
    assert values[1] < values[0]


def test_sessions_drift_and_share_the_subject():
    recording = eeg.simulate(5, seed=0, trials=120, sessions=3, effects=replace(eeg.Effects(), drift=0.2))
    assert np.bincount(recording.session).tolist() == [40, 40, 40]
    assert all(recording.labels[recording.session == index].sum() == 8 for index in range(3))
    part = recording.part(recording.session == 1)
    assert part.epochs.shape[0] == 40
    assert part.truth.courses == {}
    first, last = (recording.epochs[recording.session == index] for index in (0, 2))
    assert np.abs(np.corrcoef(covariances(first).mean(0).ravel(), covariances(last).mean(0).ravel())[0, 1]) < 0.999


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: eeg.simulate(8, seed=0), "subject=8"),
        (lambda: eeg.simulate(1, seed=0, trials=15, sessions=2), "trials=15"),
        (lambda: eeg.simulate(1, seed=0, stop_share=1.0), "stop_share=1"),
        (lambda: eeg.simulate(1, seed=0, beta=(30.0, 20.0)), "30 to 20 Hz"),
        (lambda: eeg.scalp_maps(np.array([[0, 0, 0.95]]), np.array([[0, 0, 1.0]])), "0.95"),
    ],
)
def test_refusals_name_the_value(call, said):
    with pytest.raises(BookError, match=said):
        call()


def test_every_effect_is_described():
    assert len(fields(eeg.Effects)) == 16


def test_finger_movements_ship_and_have_the_same_form():
    try:
        recording = eeg_real.finger_movements()
    except BookError as error:
        pytest.skip(str(error))
    assert recording.epochs.shape == (416, 28, 50)
    assert recording.labels.mean() == pytest.approx(0.5, abs=0.02)
    assert np.bincount(recording.session).tolist() == [316, 100]
    assert np.isfinite(recording.positions).all()
    assert recording.truth is None


def test_the_fetched_recording_has_the_same_form():
    try:
        registry.fetch("eegmmidb_s001")
    except BookError as error:
        pytest.skip(str(error))
    recording = eeg_real.eegmmidb()
    assert recording.epochs.shape == (45, 64, 480)
    assert np.bincount(recording.session).tolist() == [15, 15, 15]
    assert 5 < recording.epochs.std() < 100


def test_a_recording_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BookError, match=r"Nothing\.ts"):
        eeg_real._read(tmp_path / "Nothing.ts")
    (tmp_path / "odd.ts").write_text("@data\n1,2,x:left\n")
    with pytest.raises(BookError, match=r"odd\.ts"):
        eeg_real._read(tmp_path / "odd.ts")
