"""The harness: counts by hand, scipy as the oracle, and the sizes that a printed table leaves open."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lib.analysis import tag_evaluation as te
from lib.errors import BookError

OVERALL = ["67.8", "83.3", "82.2", "58.9", "20"]
SCENARIO = ["60", "86.7", "40", "60"]


def graded(kind, *outcomes, subclass=""):
    return [te.Graded(kind, subclass, outcome == "right", outcome) for outcome in outcomes]


def test_shares_per_scenario_and_overall_last():
    answers = [*graded("typo", "right", "wrong"), *graded("reverse", "right", "right", "verbose", subclass="cue")]
    rows = te.by_scenario(answers, subclasses=True)
    assert [(name, row.right, row.asked) for name, row in rows.items()] == [
        ("typo", 1, 2), ("reverse", 2, 3), ("reverse/cue", 2, 3), ("overall", 3, 5)]  # fmt: skip
    low, high = rows["overall"].interval
    scipy = stats.binomtest(3, 5).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((scipy.low, scipy.high))
    with pytest.raises(BookError, match="no answers"):
        te.by_scenario([])


def test_a_paired_test_counts_only_where_they_differ():
    first = graded("typo", *["right"] * 4, *["wrong"] * 9, "right")
    second = graded("typo", *["right"] * 4, *["right"] * 9, "wrong")
    found = te.paired(first, second)
    assert (found.only_first, found.only_second) == (1, 9)
    assert found.difference == pytest.approx(8 / 14)
    assert found.p == pytest.approx(stats.binomtest(1, 10).pvalue)
    same = te.paired(first, first)
    assert (same.difference, same.p) == (0, 1)
    with pytest.raises(BookError, match="same questions"):
        te.paired(first, graded("reverse", *["right"] * 14))
    with pytest.raises(BookError, match="14 and 2"):
        te.paired(first, second[:2])


def test_the_confusion_tells_refusals_traps_and_drift_apart():
    answers = [
        *graded("unknown", "right", "right", "trap", "verbose", "empty"),
        *graded("typo", "right", "refused", "other_tag", "verbose", "wrong"),
        *graded("direct", "right", "partial"),
    ]
    table = te.confusion(answers)
    assert dict(zip(te.ACTS, table[0].tolist(), strict=True)) == {
        "refused": 2, "asked tag": 0, "another tag": 1, "public name": 1, "other": 1}  # fmt: skip
    assert table[1].tolist() == [1, 1, 1, 1, 1]
    assert table.sum() == 10  # direct is not asked for
    assert te.drift([*graded("reverse", "verbose", "right"), *graded("unknown", "verbose")]).right == 1
    assert te.drift([*graded("reverse", "verbose", "right")]).asked == 2


def test_the_posts_percentages_fit_ninety_and_its_multiples_only():
    assert te.sizes_that_fit(OVERALL, SCENARIO, 6, 500) == [90, 180, 270, 360, 450]
    assert [te.counts_that_round_to(text, 90) for text in OVERALL] == [[61], [75], [74], [53], [18]]
    assert [te.counts_that_round_to(text, 15) for text in SCENARIO] == [[9], [13], [6], [9]]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(0, 2))
def test_a_printed_count_is_always_found_again(pair, digits):
    count, size = pair
    found = te.counts_that_round_to(f"{100 * count / size:.{digits}f}", size)
    assert count in found
    assert all(abs(other - count) <= 10**-digits * size / 100 + 1e-9 for other in found)


def test_all_counts_behind_a_coarse_percentage_are_found():
    assert te.counts_that_round_to("2", 400) == [6, 7, 8, 9, 10]  # 1.5 and 2.5 are halves, which may go either way


def test_printed_percentages_at_their_edges():
    assert te.counts_that_round_to("0", 7) == [0]
    assert te.counts_that_round_to("100.0", 7) == [7]
    assert te.counts_that_round_to("12.5", 8) == [1]
    assert te.counts_that_round_to("12", 8) == [1]  # a half to even
    assert te.counts_that_round_to("13", 8) == [1]  # a half up
    assert te.counts_that_round_to("50.1", 8) == []
    with pytest.raises(BookError, match="about half"):
        te.counts_that_round_to("about half", 8)


def test_p_values_shrink_with_the_size_that_was_not_stated():
    found = te.p_against_size("67.8", "83.3", [90, 180, 270, 360])
    assert found[0] == pytest.approx(stats.fisher_exact([[61, 29], [75, 15]]).pvalue)
    assert found[0] == pytest.approx(0.0235, abs=5e-5)
    assert found == sorted(found, reverse=True)
    assert te.p_against_size("60", "86.7", [15])[0] == pytest.approx(0.2148, abs=5e-5)
    assert te.p_against_size("60", "86.7", [30])[0] == pytest.approx(0.0391, abs=5e-5)
    with pytest.raises(BookError, match="over 91"):
        te.p_against_size("67.8", "83.3", [91])


def test_a_gain_is_a_mean_over_runs_with_an_interval_over_questions():
    rng = np.random.default_rng(0)
    first = [*graded("typo", *["wrong"] * 40), *graded("reverse", *["right"] * 20, subclass="cue")]
    better = [*graded("typo", *["right"] * 20, *["wrong"] * 20), *graded("reverse", *["right"] * 20, subclass="cue")]
    value, low, high = te.gain(first, [better, first], rng, "typo")
    assert value == pytest.approx(0.25)  # half of the questions, in half of the runs
    exact = 0.25 / np.sqrt(40)  # the spread of one question's gain is a quarter
    assert (low, high) == pytest.approx((0.25 - 1.96 * exact, 0.25 + 1.96 * exact), abs=0.02)
    assert te.gain(first, [better], rng)[0] == pytest.approx(20 / 60)
    assert te.gain(first, [better], rng, "reverse/cue") == (0, 0, 0)
    with pytest.raises(BookError, match="same questions"):
        te.gain(first, [better[:-1]], rng)
    with pytest.raises(BookError, match="kind 'choice'"):
        te.gain(first, [better], rng, "choice")


def test_a_gain_interval_covers_the_truth_as_often_as_it_says():
    rng, inside = np.random.default_rng(3), 0
    for _ in range(150):
        before, after = rng.random(120) < 0.5, rng.random((3, 120)) < 0.7
        lists = [graded("typo", *np.where(row, "right", "wrong")) for row in (before, *after)]
        _, low, high = te.gain(lists[0], lists[1:], rng)
        inside += low <= 0.2 <= high
    assert 0.88 <= inside / 150 <= 0.99
