"""Power, maxima and thresholds: simulation and tables as oracles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp
from sklearn.metrics import roc_curve

from lib.analysis import small_samples as ss
from lib.errors import BookError


@pytest.mark.parametrize(("mean", "spread", "count"), [(0.1, 0.06, 7), (0.1, 0.15, 7), (0.0, 1.0, 5), (-0.3, 0.5, 12)])
def test_power_is_what_simulation_finds(mean, spread, count):
    draws = np.random.default_rng(0).normal(mean, spread, (20_000, count))
    found = np.mean(ttest_1samp(draws, 0, axis=1).pvalue < 0.05)
    assert ss.paired_power(mean, spread, count) == pytest.approx(found, abs=5 * np.sqrt(0.25 / 20_000))


def test_power_is_the_level_without_an_effect_and_grows_with_subjects():
    assert ss.paired_power(0, 2.0, 7, level=0.1) == pytest.approx(0.1)
    powers = [ss.paired_power(0.1, 0.1, count) for count in (3, 7, 15, 40)]
    assert powers == sorted(powers)
    needed = ss.subjects_needed(0.1, 0.1)
    assert ss.paired_power(0.1, 0.1, needed) >= 0.8 > ss.paired_power(0.1, 0.1, needed - 1)


def test_flipping_signs_counts_every_arrangement():
    assert ss.sign_flip_p(np.ones(7)) == pytest.approx(2 / 128)
    assert ss.sign_flip_p([1.0, -1.0]) == 1.0
    from scipy.stats import permutation_test

    values = np.random.default_rng(3).normal(0.4, 1, 9)
    other = permutation_test(
        (values, np.zeros(9)), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
    )
    assert ss.sign_flip_p(values) == pytest.approx(other.pvalue, abs=1 / 2**8)


def test_the_spread_of_two_equally_good_decoders():
    rng = np.random.default_rng(1)
    unlike = rng.random((20_000, 60)) < 0.3
    signs = rng.choice([-1, 1], unlike.shape)
    assert ss.difference_spread(0.3, 60) == pytest.approx((unlike * signs).mean(axis=1).std(), rel=0.03)


def test_the_largest_of_normal_numbers():
    assert ss.expected_maximum(1) == pytest.approx(0, abs=1e-9)
    assert ss.expected_maximum(2) == pytest.approx(1 / np.sqrt(np.pi))
    assert ss.expected_maximum(3) == pytest.approx(1.5 / np.sqrt(np.pi))
    draws = np.random.default_rng(2).normal(0, 0.07, (50_000, 7)).max(axis=1)
    assert ss.expected_maximum(7, 0.07) == pytest.approx(draws.mean(), abs=1e-3)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40), st.sampled_from([0, 0.1, 0.25, 1])
)
def test_recall_at_a_rate_is_the_best_point_of_the_roc_curve(rows, rate):
    positive, scores = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    if positive.all() or not positive.any():
        return
    rates, recalls, _ = roc_curve(positive, scores, drop_intermediate=False)
    assert ss.recall_at(rate, positive, scores) == pytest.approx(recalls[rates <= rate + 1e-9].max())


def test_precision_by_hand():
    positive = np.arange(100) < 20
    scores = np.where(positive, 1.0, 0.0) + np.where(np.arange(100) % 5 == 0, 0.5, 0.0)
    assert ss.precision_at(0.2, positive, scores) == pytest.approx(0.2 / (0.2 + 0.8 * 0.2))
    assert ss.precision_at(0.2, positive, scores, share=0.5) == pytest.approx(0.5 / 0.6)
    assert ss.precision_at(0.0, positive, -scores) == 1.0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ss.paired_power(0.1, 0.0, 7), "spread=0"),
        (lambda: ss.paired_power(0.1, 0.1, 1), "count=1"),
        (lambda: ss.subjects_needed(0.001, 1.0, most=20), "20 subjects"),
        (lambda: ss.difference_spread(1.5, 10), "1.5"),
        (lambda: ss.expected_maximum(0), "count=0"),
        (lambda: ss.recall_at(0.1, np.ones(3, bool), np.ones(3)), "3 of 3"),
        (lambda: ss.recall_at(2.0, np.array([True, False]), np.ones(2)), "rate=2"),
    ],
)
def test_refusals_name_the_value(call, said):
    with pytest.raises(BookError, match=said):
        call()
