"""Edits and error rates against the definition, a metric's laws, and cases done by hand."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.analysis import sequence_scores as scores
from lib.errors import BookError

ROWS = st.lists(st.integers(0, 3), max_size=8)


def by_definition(a, b):
    @cache
    def distance(i, j):
        if not i or not j:
            return i + j
        same = distance(i - 1, j - 1) + (a[i - 1] != b[j - 1])
        return min(same, distance(i - 1, j) + 1, distance(i, j - 1) + 1)

    return distance(len(a), len(b))


@given(ROWS, ROWS)
def test_edits_are_the_recursive_ones(a, b):
    assert scores.edits(a, b) == by_definition(a, b)


@given(ROWS, ROWS, ROWS)
def test_edits_are_a_metric_within_the_bounds_of_lengths(a, b, c):
    assert scores.edits(a, a) == 0
    assert (scores.edits(a, b) == 0) == (a == b)
    assert scores.edits(a, b) == scores.edits(b, a)
    assert scores.edits(a, c) <= scores.edits(a, b) + scores.edits(b, c)
    assert abs(len(a) - len(b)) <= scores.edits(a, b) <= max(len(a), len(b))


@pytest.mark.parametrize(
    ("found", "right", "expected"),
    [("sitting", "kitten", 3), ("", "abc", 3), ("ab", "", 2), ("bcd", "abcd", 1), ("abxc", "abc", 1)],
)
def test_known_cases(found, right, expected):
    assert scores.edits(found, right) == expected


def test_an_error_rate_weighs_tokens_and_can_exceed_one():
    assert scores.error_rate(["aaaa", "c"], ["aaaa", "b"]) == pytest.approx(1 / 5)
    assert scores.error_rate(["bcd"], ["a"]) == 3
    assert scores.error_rate(["x", "ab"], ["", "ab"]) == 0.5


def test_scores_of_texts():
    found = scores.score(["HI YOU", "OKAY", "GOODGOOD"], ["HI YOU", "OKAI", "GOOD"], [True, True, False])
    assert found.right == (True, False, False)
    assert found.exact == pytest.approx(1 / 3)
    assert found.letter_errors == pytest.approx(5 / 14)
    assert found.word_errors == pytest.approx(2 / 4)
    assert found.stopped == pytest.approx(2 / 3)
    assert found.length_error == pytest.approx(4 / 3)
    assert scores.score(["A"], ["A"]).stopped == 1


def test_what_cannot_be_scored_is_refused():
    with pytest.raises(BookError, match="1 sequences found, 2 right"):
        scores.error_rate(["a"], ["a", "b"])
    with pytest.raises(BookError, match="0 items"):
        scores.error_rate(["a"], [""])
