"""Arms: what honest ones may not see, what leaky ones do, and the experiments across subjects and sessions."""

from __future__ import annotations

import numpy as np
import pytest

from lib.analysis import covariances
from lib.analysis import decoding as dc
from lib.errors import BookError

RATE = 200.0
FEW = dc.Settings(trees=15, folds=3)


def epochs_of(count=90, channels=6, strength=1.6, seed=0, share=3):
    """Epochs whose first source, noise of 20 to 26 Hz, is louder in class 1; one trial in `share` is of class 1."""
    from scipy.signal import butter, sosfiltfilt

    rng = np.random.default_rng(seed)
    labels = (np.arange(count) % share == 0).astype(int)
    sources = rng.normal(size=(count, channels, 400))
    band = butter(2, (20, 26), "bandpass", fs=RATE, output="sos")
    sources[:, 0] += 6 * sosfiltfilt(band, rng.normal(size=(count, 400))) * np.where(labels, strength, 1)[:, None]
    mixing = np.random.default_rng(1).normal(size=(channels, channels))
    return np.einsum("nkt,kc->nct", sources, mixing), labels


@pytest.fixture(scope="module")
def decoder():
    return dc.Decoder(*epochs_of(), RATE, FEW)


@pytest.mark.parametrize("band", ["broad", "own", "known", "bank", "curved"])
def test_every_honest_arm_decodes_what_is_there(decoder, band):
    done = decoder.run(dc.Arm(band), (20.0, 26.0))
    assert done.measures()["auroc"] > 0.8
    assert np.isfinite(done.scores).all()
    assert len(done.bands) == 3


def test_the_own_band_is_the_planted_one_in_every_fold(decoder):
    for band in decoder.run(dc.Arm("own")).bands:
        assert abs(band.centre - 23) < 2


@pytest.mark.parametrize("band", ["broad", "own", "bank", "curved"])
def test_an_honest_fold_does_not_see_the_labels_it_is_scored_on(band):
    """Flip the labels of one fold's test trials: its scores must not move. With the leak they must."""
    epochs, labels = epochs_of()
    first = dc.Decoder(epochs, labels, RATE, FEW)
    before = first.run(dc.Arm(band))
    test = first.splits[0][1]
    flipped = labels.copy()
    flipped[test] = 1 - flipped[test]
    second = dc.Decoder(epochs, labels, RATE, FEW)
    second.labels = flipped
    np.testing.assert_array_equal(second.run(dc.Arm(band)).scores[test], before.scores[test])
    if band in ("broad", "own"):
        leak = dc.Arm(band, frozenset({"csp"}))
        assert not np.allclose(second.run(leak).scores[test], first.run(leak).scores[test])


def test_on_shuffled_labels_only_the_leak_scores():
    honest, leaky = [], []
    for seed in range(4):
        epochs, labels = epochs_of(count=60, channels=20, strength=1.0, seed=seed)
        labels = np.random.default_rng(seed).permutation(labels)
        decoder = dc.Decoder(epochs, labels, RATE, FEW)
        honest.append(decoder.run(dc.Arm("broad", judge="line")).measures()["auroc"])
        leaky.append(decoder.run(dc.Arm("broad", frozenset({"csp"}), "line")).measures()["auroc"])
    assert abs(np.mean(honest) - 0.5) < 0.12
    assert np.mean(leaky) > 0.7


def test_choosing_the_best_band_by_the_score_itself_is_a_leak_of_its_own():
    epochs, labels = epochs_of(count=60, strength=1.0)
    decoder = dc.Decoder(epochs, np.random.default_rng(0).permutation(labels), RATE, FEW)
    bands = [(low, low + 4.0) for low in range(8, 40, 4)]
    best, band = dc.best_band(decoder, bands)
    every = [decoder.run(dc.Arm("known", judge="line"), one).measures()["auroc"] for one in bands]
    assert best.measures()["auroc"] == max(every)
    assert (band.low, band.high) == bands[int(np.argmax(every))]
    assert max(every) > np.mean(every)


def test_measures_by_hand():
    labels, folds = np.array([1, 1, 0, 0, 0, 0]), np.array([0, 1, 0, 1, 0, 1])
    done = dc.Decoded(np.array([0.9, 0.4, 0.2, 0.6, 0.1, 0.3]), labels, folds, ())
    found = done.measures()
    assert found["recall"] == 0.5
    assert found["precision"] == 0.5
    assert found["balanced"] == pytest.approx((0.5 + 0.75) / 2)
    assert found["auroc"] == pytest.approx((1 + 0.5) / 2)


def test_across_subjects_shared_filters_carry_over_and_foreign_ones_do_not():
    made = [epochs_of(seed=seed) for seed in range(3)]
    covs, labels = [covariances(one[0]) for one in made], [one[1] for one in made]
    assert dc.across_subjects(covs, labels, FEW).min() > 0.75
    loud = [covs[0] * 1e6, *covs[1:]]
    np.testing.assert_allclose(dc.across_subjects(loud, labels, FEW), dc.across_subjects(covs, labels, FEW), atol=0.03)
    turned = [np.einsum("ac,ncd,bd->nab", turn, one, turn) for one, turn in zip(covs, _turns(), strict=True)]
    assert dc.across_subjects(turned, labels, FEW).mean() < dc.across_subjects(covs, labels, FEW).mean()


def _turns():
    return [np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0] for seed in range(3)]


def test_later_sessions_learn_from_earlier_ones_only():
    epochs, labels = epochs_of(count=120)
    covs, session = covariances(epochs), np.repeat(np.arange(4), 30)
    found = dc.later_sessions(covs, labels, session)
    assert found.shape == (3,)
    assert found.mean() > 0.75
    spoiled = covs.copy()
    spoiled[session == 3] = np.eye(6)
    spoiled[session == 3] *= np.random.default_rng(0).uniform(1, 2, (30, 1, 1))
    np.testing.assert_array_equal(dc.later_sessions(spoiled, labels, session)[:2], found[:2])
    assert not np.array_equal(dc.later_sessions(covs, labels, session, most=30)[1:], found[1:])


def test_identification_by_the_nearest_session():
    rng = np.random.default_rng(0)
    own = rng.normal(size=(7, 1, 3))
    assert dc.identify(own + 0.01 * rng.normal(size=(7, 4, 3))) == 1.0
    strangers = [dc.identify(rng.normal(size=(7, 4, 3))) for _ in range(40)]
    assert np.mean(strangers) == pytest.approx(3 / 27, abs=0.04)
    assert dc.identify(np.concatenate([own.repeat(2, axis=1), np.zeros((7, 2, 1))], axis=2)) == 1.0


def test_refusals_name_the_value(decoder):
    with pytest.raises(BookError, match="'narrow'"):
        dc.Arm("narrow")
    with pytest.raises(BookError, match="forest"):
        dc.Arm("own", frozenset({"forest"}))
    with pytest.raises(BookError, match="known"):
        decoder.run(dc.Arm("known"))
    with pytest.raises(BookError, match=r"\(7, 3\)"):
        dc.identify(np.zeros((7, 3)))
