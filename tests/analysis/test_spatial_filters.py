"""Common spatial patterns: mne as the oracle, properties of the eigenproblem, leaks, and what must be refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from lib.analysis import spatial_filters as sf
from lib.analysis.spatial_peers import FilterBankCSP, Restrict, band_covariances, riemannian
from lib.errors import BookError

RATE = 200.0


def trials(count=80, channels=8, samples=100, strength=2.0, seed=0):
    """Epochs with mean 0 whose first source is stronger in class 1; labels; mixing [K, C]."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    sources = rng.normal(size=(count, channels, samples))
    sources[:, 0] *= np.where(labels, strength, 1.0)[:, None]
    mixing = rng.normal(size=(channels, channels))
    epochs = np.einsum("nkt,kc->nct", sources, mixing)
    return epochs - epochs.mean(axis=2, keepdims=True), labels, mixing


def referenced(epochs):
    return epochs - epochs.mean(axis=1, keepdims=True)


@pytest.mark.parametrize("order", ["extreme", "alternate"])
@pytest.mark.parametrize("reference", [False, True], ids=["as recorded", "average reference"])
def test_features_filters_and_patterns_are_those_of_mne(order, reference):
    mne = pytest.importorskip("mne")
    epochs, labels, _ = trials()
    epochs = referenced(epochs) if reference else epochs
    theirs = {"extreme": "mutual_info", "alternate": "alternate"}[order]
    with mne.utils.use_log_level("ERROR"):
        oracle = mne.decoding.CSP(4, component_order=theirs).fit(epochs, labels)
        expected = oracle.transform(epochs)
    ours = sf.CSP(4, shrinkage=0.0, order=order).fit(epochs, labels)
    size = 7 if reference else 8
    assert ours.filters_.shape == (size, 8)
    if order == "alternate":  # largest first in both; mne's shares are those of the first class, ours of the second
        assert ours.shares_[0] == ours.shares_.max()
        pairs = [1, 0, 3, 2]
    else:
        pairs = [0, 1, 2, 3]
    moments = len(epochs) / 2 * epochs.shape[2]  # of a class; mne divides its sums by one less
    scale = np.log((moments - 1) / moments)
    np.testing.assert_allclose(ours.transform(epochs) + scale, expected[:, pairs], atol=1e-9)
    patterns = oracle.patterns_[pairs] * np.exp(scale / 2)
    signs = np.sign(np.sum(patterns * ours.patterns_[:4], axis=1, keepdims=True))
    np.testing.assert_allclose(ours.patterns_[:4] * signs, patterns, atol=1e-9)


def test_epochs_and_their_covariances_give_the_same_answer():
    epochs, labels, _ = trials()
    covs = sf.covariances(epochs)
    one, other = sf.CSP(3).fit(epochs, labels), sf.CSP(3).fit(covs, labels)
    np.testing.assert_allclose(one.transform(epochs), other.transform(covs), rtol=1e-12)
    np.testing.assert_array_equal(one.transform(covs), other.transform(covs))


def test_square_epochs_are_not_taken_for_covariances():
    epochs = trials(channels=9, samples=9, count=60)[0]
    np.testing.assert_array_equal(sf.as_covariances(epochs), sf.covariances(epochs))
    covs = sf.covariances(epochs)
    assert sf.as_covariances(covs) is covs


def test_the_modulated_source_is_found_and_its_map():
    epochs, labels, mixing = trials(count=200, samples=200)
    csp = sf.CSP(1).fit(epochs, labels)
    assert csp.shares_[0] == pytest.approx(4 / 5, abs=0.02)  # variance 4 against 1; shrinkage 5 %
    cosine = csp.patterns_[0] @ mixing[0] / np.linalg.norm(csp.patterns_[0]) / np.linalg.norm(mixing[0])
    assert abs(cosine) > 0.99


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 9), st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 1.0]), st.booleans())
def test_the_displayed_equations_hold(channels, seed, shrinkage, reference):
    """S2 w = share (S1 + S2) w, w'(S1 + S2) w = 1, and a pattern is (S1 + S2) w, in the directions that exist."""
    rng = np.random.default_rng(seed)
    first, second = (one @ one.T for one in rng.normal(size=(2, channels + 1, channels + 4)))
    if reference:
        centre = np.eye(channels + 1) - 1 / (channels + 1)
        first, second = centre @ first @ centre, centre @ second @ centre
    basis = sf.principal_basis(first + second)
    assert basis.shape[1] == channels + (not reference)
    shares, filters, patterns = sf.common_spatial_patterns(first, second, shrinkage=shrinkage)
    first, second = (basis @ sf.shrunk(basis.T @ one @ basis, shrinkage) @ basis.T for one in (first, second))
    both = first + second
    np.testing.assert_allclose(filters @ second, shares[:, None] * (filters @ both), atol=1e-7)
    np.testing.assert_allclose(filters @ both @ filters.T, np.eye(len(shares)), atol=1e-7)
    np.testing.assert_allclose(patterns, filters @ both, atol=1e-7)
    np.testing.assert_allclose(patterns @ filters.T, np.eye(len(shares)), atol=1e-7)
    assert np.all((shares >= -1e-12) & (shares <= 1 + 1e-12))
    assert np.all(np.diff(shares) >= 0)


def test_swapping_the_classes_mirrors_the_shares_and_a_change_of_channels_changes_nothing():
    epochs, labels, _ = trials()
    one, other = (sf.CSP(4, shrinkage=0.0).fit(epochs, given) for given in (labels, 1 - labels))
    np.testing.assert_allclose(one.shares_, 1 - other.shares_, atol=1e-12)
    turn = np.random.default_rng(1).normal(size=(8, 8))
    turned = np.einsum("dc,nct->ndt", turn, epochs)
    again = sf.CSP(4, shrinkage=0.0).fit(turned, labels)
    np.testing.assert_allclose(again.transform(turned), one.transform(epochs), atol=1e-8)


def test_a_missing_direction_is_never_selected():
    """The trap: with a ridge in the denominator alone, the best filter of referenced data is the constant one."""
    epochs, labels, _ = trials()
    epochs = referenced(epochs)
    means = [sf.covariances(epochs[labels == label]).mean(axis=0) for label in (0, 1)]
    from scipy.linalg import eigh

    _, naive = eigh(means[1], sum(means) + 1e-6 * np.eye(8))
    assert abs(naive[:, 0] @ np.ones(8)) / np.linalg.norm(naive[:, 0]) / np.sqrt(8) > 0.99
    ours = sf.CSP(4).fit(epochs, labels)
    assert np.abs(ours.filters_ @ np.ones(8)).max() < 1e-9 * np.abs(ours.filters_).max()


def test_loud_trials_do_not_rule_when_covariances_are_normalised():
    epochs, labels, mixing = trials(count=60)
    loud = epochs.copy()
    loud[1] = 300 * np.random.default_rng(2).normal(size=(8, 1)) * np.random.default_rng(3).normal(size=100)

    def similarity(normalise):
        pattern = sf.CSP(1, normalise=normalise).fit(loud, labels).patterns_[0]
        return abs(pattern @ mixing[0]) / np.linalg.norm(pattern) / np.linalg.norm(mixing[0])

    assert similarity(True) > 0.9 > similarity(False)


@pytest.mark.parametrize("leaky", [False, True])
def test_permutation_scores_are_those_of_scikit_learn(leaky):
    epochs, labels, _ = trials(count=60, strength=1.3)
    covs = sf.covariances(epochs)
    found, null = sf.permutation_scores(covs, labels, permutations=3, n_components=3, leaky=leaky, seed=5)
    generator = np.random.default_rng(5)
    folds = StratifiedKFold(5, shuffle=True, random_state=5)
    judge = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.5, 0.5])
    orders = [np.arange(60), *(generator.permutation(60) for _ in range(3))]
    for score, order in zip([found, *null], orders, strict=True):
        given = labels[order]
        if leaky:
            features = sf.CSP(3).fit(covs, given).transform(covs)
            expected = cross_val_score(judge, features, given, cv=folds, scoring="roc_auc").mean()
        else:
            model = make_pipeline(sf.CSP(3), judge)
            expected = cross_val_score(model, covs, given, cv=folds, scoring="roc_auc").mean()
        # lsqr pools with the training priors' weights only through `priors`: equal here, classes being balanced
        assert score == pytest.approx(expected, abs=1e-9)


def test_on_noise_the_clean_score_is_chance_and_the_leak_is_not():
    rng = np.random.default_rng(0)
    covs = sf.covariances(rng.normal(size=(100, 20, 60)))
    labels = np.arange(100) % 2
    clean = sf.permutation_scores(covs, labels, permutations=30)[1]
    leaky = sf.permutation_scores(covs, labels, permutations=30, leaky=True)[1]
    assert abs(clean.mean() - 0.5) < 0.04
    assert leaky.mean() > 0.7
    assert np.array_equal(clean, sf.permutation_scores(covs, labels, permutations=30)[1])


@pytest.mark.parametrize("positive", [0.5, 0.2])
def test_the_discriminant_is_scikit_learns_with_equal_priors(positive):
    rng = np.random.default_rng(4)
    labels = (rng.random(120) < positive).astype(int)
    features = rng.normal(size=(120, 3)) + labels[:, None] * [1.0, 0.0, -0.5]
    ours = sf.PairedDiscriminant().fit(features, labels)
    oracle = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.5, 0.5]).fit(features, labels)
    np.testing.assert_allclose(ours.coef_, oracle.coef_[0], rtol=1e-9)
    np.testing.assert_allclose(ours.decision_function(features), oracle.decision_function(features), rtol=1e-7)
    np.testing.assert_array_equal(ours.predict(features), oracle.predict(features))


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.integers(-2, 2)), min_size=2, max_size=30))
def test_auroc_is_scikit_learns_ties_included(rows):
    positive, scores = np.array([row[0] for row in rows]), np.array([row[1] for row in rows], dtype=float)
    if positive.all() or not positive.any():
        with pytest.raises(BookError, match="both kinds"):
            sf.auroc(positive, scores)
    else:
        assert sf.auroc(positive, scores) == pytest.approx(roc_auc_score(positive, scores))


def test_a_band_pass_keeps_its_band_and_delays_nothing():
    moments = np.arange(400) / RATE
    slow, fast = np.sin(2 * np.pi * 10 * moments), np.sin(2 * np.pi * 40 * moments)
    kept = sf.BandPass(8, 13, RATE).fit(None).transform((slow + fast)[None, None])[0, 0]
    middle = slice(100, 300)
    assert np.abs(kept - slow)[middle].max() < 0.05
    assert np.corrcoef(kept[middle], slow[middle])[0, 1] > 0.999


def test_the_peers_decode_what_is_there_and_only_that():
    for strength, low, high in ((1.6, 0.8, 1.0), (1.0, 0.3, 0.7)):
        epochs, labels, _ = trials(count=120, strength=strength, seed=2)
        epochs = referenced(epochs)
        bank = band_covariances(epochs, [(4, 20), (20, 90)], RATE)
        assert bank.shape == (120, 2, 8, 8)
        models = {
            "bank": (make_pipeline(FilterBankCSP(2, keep=3), sf.PairedDiscriminant()), bank),
            "tangent": (riemannian(), sf.covariances(epochs)),
        }
        for model, data in models.values():
            scores = cross_val_score(clone(model), data, labels, cv=3, scoring="roc_auc")
            assert low < scores.mean() <= high


def test_the_peers_refit_inside_folds():
    """Nothing of a clone survives: fitted on other trials, it has other filters."""
    epochs, labels, _ = trials(count=40)
    bank = band_covariances(epochs, [(4, 20), (20, 90)], RATE)
    model = FilterBankCSP(2, keep=2).fit(bank[:20], labels[:20])
    again = clone(model).fit(bank[20:], labels[20:])
    assert not np.allclose(model.csps_[0].filters_, again.csps_[0].filters_)
    assert Restrict().fit(referenced(epochs)).transform(referenced(epochs)).shape == (40, 7, 7)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda e, y: sf.CSP(4).fit(e, np.zeros(len(e))), "1 classes"),
        (lambda e, y: sf.CSP(4).fit(e, np.arange(len(e)) % 3), "3 classes"),
        (lambda e, y: sf.CSP(4).fit(e, y[:-1]), r"one for each of 80"),
        (lambda e, y: sf.CSP(0).fit(e, y), "n_components=0"),
        (lambda e, y: sf.CSP(4, shrinkage=1.5).fit(e, y), r"shrinkage=1.5"),
        (lambda e, y: sf.CSP(9).fit(e, y), "8 directions"),
        (lambda e, y: sf.CSP(4, order="best").fit(e, y), "'best'"),
        (lambda e, y: sf.CSP(4).fit(e[0], y), r"\(8, 100\)"),
        (lambda e, y: sf.CSP(4).fit(0 * e, y), "flat"),
        (lambda e, y: sf.covariances(0 * e, normalise=True), "80 epochs are flat"),
        (lambda e, y: sf.covariances(e[..., :0]), r"\(80, 8, 0\)"),
        (lambda e, y: sf.BandPass(30, 13, RATE).fit(e), "30 to 13"),
        (lambda e, y: sf.BandPass(80, 120, RATE).fit(e), "80 to 120"),
        (lambda e, y: sf.BandPass(8, 13, RATE).fit(e).transform(e[..., :10]), "10 samples"),
        (lambda e, y: FilterBankCSP().fit(e, y), r"\(80, 8, 100\)"),
    ],
)
def test_refusals_name_the_value(call, said):
    epochs, labels, _ = trials()
    with pytest.raises(BookError, match=said):
        call(epochs, labels)
