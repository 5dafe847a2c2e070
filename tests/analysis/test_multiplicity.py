"""Max-statistic p-values: one test alone, many together, and the error rate that they promise."""

from __future__ import annotations

import numpy as np
import pytest

from lib.analysis.multiplicity import max_statistic_p
from lib.analysis.statistics import permutation_p
from lib.errors import BookError


def test_one_test_alone_is_the_permutation_test():
    null = np.random.default_rng(0).normal(size=99)
    for value in (-1.0, 0.3, 1.7, 9.0):
        assert max_statistic_p({"a": value}, {"a": null})["a"] == pytest.approx(permutation_p(value, null))


def test_together_no_p_is_smaller_than_alone_and_scale_does_not_matter():
    rng = np.random.default_rng(1)
    nulls = {"a": rng.normal(size=199), "b": 100 + 1000 * rng.normal(size=199)}
    observed = {"a": 2.2, "b": 2500.0}
    joint = max_statistic_p(observed, nulls)
    assert all(joint[name] >= permutation_p(observed[name], nulls[name]) for name in observed)
    moved = max_statistic_p({"a": 2.2, "b": 24.0}, {"a": nulls["a"], "b": (nulls["b"] - 100) / 100})
    assert moved == pytest.approx(joint)


def test_the_family_wise_error_is_kept():
    rng = np.random.default_rng(2)
    hits = alone = 0
    for _ in range(400):
        table = rng.normal(size=(6, 40))
        joint = max_statistic_p(dict(enumerate(table[:, 0])), dict(enumerate(table[:, 1:])))
        hits += min(joint.values()) <= 0.05
        alone += min(permutation_p(row[0], row[1:]) for row in table) <= 0.05
    assert hits / 400 < 0.085
    assert alone / 400 > 0.15


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(BookError, match="draw equally many"):
        max_statistic_p({"a": 1.0, "b": 1.0}, {"a": np.ones(3), "b": np.ones(4)})
    with pytest.raises(BookError, match="the null of a does not vary"):
        max_statistic_p({"a": 1.0}, {"a": np.ones(3)})
