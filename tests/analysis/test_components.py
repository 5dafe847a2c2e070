"""The subject's own band from a known mixture: sources unmixed, the modulated one chosen, its peak found, no leak."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt
from sklearn.base import clone

from lib.analysis import amari_index, matched, pattern_similarity
from lib.analysis.components import ComponentChoice, OwnBandPass, modulation
from lib.errors import BookError

RATE = 200.0
BAND = (23.0, 28.0)


def mixture(noise=0.05, strength=0.6, seed=0, trials=120):
    """Epochs [n, 10, 300], labels, mixing [6, 10]: source 0 is a beta rhythm, weaker in class 1."""
    rng = np.random.default_rng(seed)
    labels = np.arange(trials) % 3 == 0
    sources = rng.laplace(size=(trials, 6, 300))
    rhythm = sosfiltfilt(butter(2, BAND, "bandpass", fs=RATE, output="sos"), rng.normal(size=(trials, 300)))
    rhythm *= np.exp(0.4 * rng.normal(size=(trials, 1))) * np.where(labels, strength, 1.0)[:, None] / rhythm.std()
    sources[:, 0] = 2 * rhythm + 0.5 * rng.normal(size=(trials, 300)).cumsum(axis=1) / 10
    mixing = rng.normal(size=(6, 10))
    epochs = np.einsum("nkt,kc->nct", sources, mixing) + noise * rng.normal(size=(trials, 10, 300))
    return epochs - epochs.mean(axis=1, keepdims=True), labels, mixing - mixing.mean(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def fitted():
    epochs, labels, mixing = mixture()
    return OwnBandPass(RATE, ComponentChoice(RATE, n_components=8)).fit(epochs, labels), epochs, labels, mixing


def test_sources_are_unmixed_and_the_modulated_one_is_chosen(fitted):
    own, epochs, _, mixing = fitted
    similarity, components = matched(pattern_similarity(own.choice_.patterns_, mixing))
    assert similarity.min() > 0.97
    assert own.choice_.chosen_ == components[0]
    assert own.choice_.scores_[own.choice_.chosen_] > 3
    assert own.choice_.converged_
    assert own.choice_.transform(epochs).shape == (120, 300)


def test_the_band_is_the_modulated_sources_own(fitted):
    own, epochs, _, _ = fitted
    assert own.band_.found
    assert abs(own.band_.centre - np.mean(BAND)) < 1
    assert own.transform(epochs).shape == epochs.shape


def test_recovery_improves_with_the_signal():
    """The Amari index of the recovered mixing falls with the sensors' noise."""
    found = []
    for noise in (16.0, 4.0, 0.05):
        epochs, _, mixing = mixture(noise=noise, trials=60)
        choice = ComponentChoice(RATE, n_components=6).unmix(epochs)
        found.append(amari_index(choice.filters_ @ mixing.T))
    assert found[0] > found[1] > found[2]
    assert found[2] < 0.1


def test_a_seed_gives_one_answer_and_refitting_leaves_nothing_behind(fitted):
    own, epochs, labels, _ = fitted
    again = clone(own).fit(epochs, labels)
    np.testing.assert_array_equal(again.choice_.filters_, own.choice_.filters_)
    half = clone(own).fit(epochs[:60], labels[:60])
    assert not np.allclose(half.choice_.filters_, own.choice_.filters_)
    assert half.choice_ is not half.choice


def test_held_out_trials_do_not_move_what_is_fitted(fitted):
    """The transform of a trial is the same whatever else is transformed with it."""
    own, epochs, _, _ = fitted
    np.testing.assert_allclose(own.transform(epochs[:3]), own.transform(epochs)[:3])


def test_labels_decide_the_choice_alone():
    epochs, labels, _ = mixture()
    shuffled = np.random.default_rng(1).permutation(labels)
    one, other = (ComponentChoice(RATE, n_components=8).fit(epochs, given) for given in (labels, shuffled))
    np.testing.assert_array_equal(one.filters_, other.filters_)
    assert one.scores_.max() > 2 * other.scores_.max()


def test_an_evoked_response_is_found_by_its_criterion():
    epochs, labels, mixing = mixture(strength=1.0)
    pulse = np.exp(-((np.arange(300) - 150) ** 2) / 200)
    epochs = epochs + 3 * labels[:, None, None] * mixing[3][None, :, None] * pulse
    choice = ComponentChoice(RATE, n_components=8, criterion="evoked").fit(epochs, labels)
    assert pattern_similarity(choice.patterns_[choice.chosen_], mixing[3])[0, 0] > 0.95


def test_a_temporal_map_is_left_out_when_positions_are_known():
    mne = pytest.importorskip("mne")
    names = ["T7", "T8", "F7", "Cz", "C3", "C4", "CP1", "Fz", "Pz", "Oz"]
    places = mne.channels.make_standard_montage("biosemi32").get_positions()["ch_pos"]
    positions = np.array([places[name] for name in names])
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3 == 0
    sources = rng.laplace(size=(90, 4, 300))
    sources[:, 0] *= np.where(labels, 2.0, 1.0)[:, None]  # a muscle that tells the classes apart best
    sources[:, 1] *= np.where(labels, 0.8, 1.0)[:, None]
    mixing = 0.05 * rng.normal(size=(4, 10))
    mixing[0, :3] += [2, 1.5, 1]
    mixing[1, 3:7] += [2, 1.5, 1, 1]
    epochs = np.einsum("nkt,kc->nct", sources, mixing)
    blind = ComponentChoice(RATE, n_components=4).fit(epochs, labels)
    seeing = ComponentChoice(RATE, n_components=4, positions=positions).fit(epochs, labels)
    assert pattern_similarity(blind.patterns_[blind.chosen_], mixing[0])[0, 0] > 0.95
    assert pattern_similarity(seeing.patterns_[seeing.chosen_], mixing[1])[0, 0] > 0.95
    assert not seeing.allowed_.all()
    strict = ComponentChoice(RATE, n_components=4, positions=positions, limit=0.0).fit(epochs, labels)
    assert strict.allowed_.all()
    assert strict.chosen_ == blind.chosen_


def test_without_a_choice_the_channels_mean_spectrum_decides_and_without_a_peak_the_fallback():
    epochs, labels, _ = mixture()
    assert OwnBandPass(RATE).fit(epochs, labels).choice_ is None
    flat = np.random.default_rng(0).normal(size=(200, 5, 400))  # few trials leave bumps by chance
    own = OwnBandPass(RATE, fallback=(14.0, 29.0)).fit(flat, np.arange(200) % 2)
    assert (own.band_.low, own.band_.high, own.band_.found) == (14.0, 29.0, False)


def test_modulation_is_welchs_t():
    from scipy.stats import ttest_ind

    rng = np.random.default_rng(0)
    signals, second = rng.normal(size=(30, 4)), np.arange(30) < 9
    expected = np.abs(ttest_ind(signals[second], signals[~second], equal_var=False).statistic)
    np.testing.assert_allclose(modulation(signals, second), expected)


def test_refusals_name_the_value():
    epochs, labels, _ = mixture(trials=30)
    with pytest.raises(BookError, match="'loudest'"):
        ComponentChoice(RATE, criterion="loudest").fit(epochs, labels)
    with pytest.raises(BookError, match="1 classes"):
        ComponentChoice(RATE).fit(epochs, np.zeros(30))
