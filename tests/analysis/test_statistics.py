"""Intervals and exact tests: textbook values, properties, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, mannwhitneyu

from lib.analysis.statistics import (
    bootstrap_interval,
    exceedance_bounds,
    fisher_exact,
    mcnemar_exact,
    order_weights,
    permutation_p,
    wilson_interval,
)
from lib.errors import BookError

COUNTS = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
FINITE = st.floats(-1e6, 1e6)
UNHURRIED = settings(deadline=None)  # the clock of a busy machine is no property


@UNHURRIED
@given(COUNTS, st.floats(0.5, 0.999))
def test_wilson_is_scipys(counts, level):
    successes, trials = counts
    expected = binomtest(successes, trials).proportion_ci(level, method="wilson")
    assert wilson_interval(successes, trials, level) == pytest.approx((expected.low, expected.high), abs=1e-9)


@UNHURRIED
@given(COUNTS)
def test_wilson_holds_the_share_and_mirrors(counts):
    successes, trials = counts
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert low < high
    assert wilson_interval(trials - successes, trials) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_wilson_textbook_value():
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


@UNHURRIED
@given(FINITE, st.lists(FINITE, min_size=1, max_size=60))
def test_permutation_p_counts_and_never_reaches_zero(observed, null):
    found = permutation_p(observed, null)
    assert 1 / (1 + len(null)) <= found <= 1
    assert round(found * (1 + len(null))) - 1 == sum(value >= observed for value in null)


def test_permutation_p_needs_19_draws_for_a_twentieth():
    assert permutation_p(1.0, np.zeros(18)) > 0.05
    assert permutation_p(1.0, np.zeros(19)) == 0.05


def test_permutation_p_is_valid_under_the_null():
    """Reject at 0.1 in about one case of ten when the observed value is one more null draw."""
    draws = np.random.default_rng(0).normal(size=(4000, 20))
    rejected = np.mean([permutation_p(row[0], row[1:]) <= 0.1 for row in draws])
    assert rejected == pytest.approx(0.1, abs=0.02)


def test_bootstrap_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        low, high = bootstrap_interval(rng.normal(size=60), rng, draws=300, level=0.9)
        hits += low <= 0 <= high
    assert 0.82 <= hits / 200 <= 0.96


@UNHURRIED
@given(st.lists(FINITE, min_size=2, max_size=30), FINITE)
def test_bootstrap_moves_with_the_data(values, shift):
    base = np.array(values)
    low, high = bootstrap_interval(base, np.random.default_rng(0), draws=50)
    assert base.min() - 1e-6 <= low <= high <= base.max() + 1e-6
    moved = bootstrap_interval(base + shift, np.random.default_rng(0), draws=50)
    assert moved == pytest.approx((low + shift, high + shift), rel=1e-9, abs=1e-6)


def test_bootstrap_takes_any_statistic():
    values = np.arange(100.0)
    low, high = bootstrap_interval(values, np.random.default_rng(0), statistic=np.median, draws=500)
    assert low < 49.5 < high


def test_fisher_is_the_tea_taster():
    odds, p = fisher_exact([[3, 1], [1, 3]], alternative="greater")
    assert odds == 9
    assert p == pytest.approx(17 / 70)


@UNHURRIED
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_symmetric_and_a_valid_p(first, second):
    p = mcnemar_exact(first, second)
    assert 0 < p <= 1
    assert p == pytest.approx(mcnemar_exact(second, first))


def test_mcnemar_textbook_values():
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(0, 6) == pytest.approx(2 / 64)
    assert mcnemar_exact(5, 5) == 1.0


def test_the_95th_percentile_of_eight_draws_is_nearly_their_maximum():
    weights = order_weights(8, 0.95)
    np.testing.assert_allclose(weights, [0, 0, 0, 0, 0, 0, 0.35, 0.65], atol=1e-12)


@UNHURRIED
@given(st.lists(FINITE, min_size=1, max_size=50), st.floats(0, 1))
def test_order_weights_are_numpys_quantile(values, level):
    weights = order_weights(len(values), level)
    assert weights.sum() == pytest.approx(1)
    assert weights.min() >= 0
    assert weights @ np.sort(values) == pytest.approx(np.quantile(values, level), rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(("count", "level"), [(8, 0.95), (20, 0.95), (21, 0.95), (199, 0.95)], ids=str)
def test_exceedance_bounds_hold_the_simulated_share(count, level):
    """Draws from two very different laws; at 21 draws the quantile is one order statistic and the bounds meet."""
    low, high = exceedance_bounds(count, level)
    rng = np.random.default_rng(3)
    for law in (rng.standard_normal, rng.standard_exponential):
        draws = law((20_000, count + 1))
        share = np.mean(draws[:, -1] > np.quantile(draws[:, :-1], level, axis=1))
        assert low - 0.008 < share < high + 0.008
    assert count != 8 or (low, high) == (1 / 9, 2 / 9)
    assert (low == high) is (count == 21)


def test_the_tests_tell_a_difference_from_none():
    """Sanity of the oracles: a shift that a rank test sees, a permutation test of the same data sees too."""
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=30), rng.normal(1.0, size=30)
    pooled = np.concatenate([first, second])
    null = [np.diff(rng.permutation(pooled).reshape(2, 30).mean(axis=1))[0] for _ in range(999)]
    assert permutation_p(second.mean() - first.mean(), null) < 0.01
    assert mannwhitneyu(first, second).pvalue < 0.01


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: wilson_interval(5, 4), "5 of 4"),
        (lambda: wilson_interval(1, 4, level=95), "95"),
        (lambda: permutation_p(1.0, []), "at least one"),
        (lambda: permutation_p(float("nan"), [1.0]), "finite"),
        (lambda: bootstrap_interval([1.0], np.random.default_rng(0)), "1 values"),
        (lambda: fisher_exact([[1, 2, 3]]), "2 x 2"),
        (lambda: mcnemar_exact(-1, 2), "-1"),
        (lambda: order_weights(0, 0.5), "0 values"),
    ],
    ids=["share", "level", "no-null", "nan", "one-value", "table", "negative", "no-values"],
)
def test_refusals_name_the_value(call, named):
    with pytest.raises(BookError, match=named):
        call()
