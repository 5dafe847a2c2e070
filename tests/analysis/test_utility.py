"""Utility: targets by hand, folds that keep their promise, and gains that appear only where something is to gain."""

from __future__ import annotations

import numpy as np
import pytest

from lib.analysis.distances import distance_matrix
from lib.analysis.statistics import permutation_p
from lib.analysis.utility import (
    block_permutation,
    blocked_splits,
    boosted_trees,
    gain,
    label_targets,
    repeated_splits,
    shuffled,
    similarity_groups,
)
from lib.errors import BookError


def test_targets_by_hand():
    labels = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]], dtype=bool)
    found = label_targets(labels, np.array([[1, 2], [0, 3], [0, 1], [0, 1]]))
    assert found["jaccard"][0] == pytest.approx((0.5 + 0) / 2)
    assert found["any_label"][0] == pytest.approx(0.5)
    # Focal {0, 1} with neighbours {0} and {2}: shares 1/2, 0, 1/2 over three present labels.
    assert found["entropy"][0] == pytest.approx((1 + 0 + 1) / 3)
    # Focal {2} with neighbours {0, 1} and {0}: shares 1, 1/2 and 0 (its own label is present).
    assert found["entropy"][2] == pytest.approx((0 + 1 + 0) / 3)


def test_a_molecule_without_labels_is_named():
    with pytest.raises(BookError, match="molecule 1 has no label"):
        label_targets(np.array([[1], [0]], dtype=bool), np.array([[1], [0]]))


def test_blocked_folds_never_part_a_group():
    groups = np.repeat(np.arange(11), 4)
    splits = blocked_splits(groups, folds=5, repeats=3)
    assert len(splits) == 15
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == len(groups)
    assert [s[1].tolist() for s in splits[:5]] != [s[1].tolist() for s in splits[5:10]]
    with pytest.raises(BookError, match="3 groups cannot fill 5 folds"):
        blocked_splits([0, 1, 2] * 4)


def test_groups_stay_within_the_cutoff_of_a_centre():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(15, 2)) * 0.1, rng.normal(size=(10, 2)) * 0.1 + 9])
    between = distance_matrix(points, "euclidean")
    groups = similarity_groups(between, 2.0)
    assert groups.tolist() == [0] * 15 + [1] * 10


@pytest.mark.parametrize("relation", ["linear", "none"])
def test_a_gain_appears_only_where_there_is_one(relation):
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(240, 3)), rng.normal(size=(240, 2))
    target = first[:, 0] + (second[:, 0] if relation == "linear" else 0) + 0.3 * rng.normal(size=240)
    splits = repeated_splits(240, repeats=1)
    found = gain(first, second, target, splits)
    null = block_permutation(first, second, target, splits, draws=19, generator=np.random.default_rng(2))
    assert found.deltas.shape == (5,)
    beyond = found.mean > null.max()
    assert beyond == (relation == "linear")
    if relation == "linear":
        assert found.share_positive == 1
        assert found.band[0] > 0.2
        assert (found.rank_both > found.rank_alone).all()


def test_shuffles_inside_groups_stay_inside():
    groups = np.random.default_rng(0).integers(0, 7, 60)
    rng = np.random.default_rng(1)
    orders = [shuffled(60, rng, groups) for _ in range(3)]
    for order in orders:
        assert sorted(order) == list(range(60))
        assert np.array_equal(groups[order], groups)
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(groups[shuffled(60, rng)], groups)


@pytest.mark.parametrize(("source", "free", "inside"), [("group", True, False), ("own", True, True)])
def test_a_gain_from_what_groups_share_is_no_gain_inside_them(source, free, inside):
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(24), 10)
    common, own = rng.normal(size=24)[groups], rng.normal(size=240)
    second = np.column_stack([(common if source == "group" else own) + 0.1 * rng.normal(size=240)])
    first, target = rng.normal(size=(240, 2)), (common if source == "group" else own) + 0.3 * rng.normal(size=240)
    splits = blocked_splits(groups, repeats=1)
    seen = gain(first, second, target, splits).mean
    for clusters, significant in ((None, free), (groups, inside)):
        null = block_permutation(
            first, second, target, splits, draws=39, generator=np.random.default_rng(5), groups=clusters
        )
        assert (permutation_p(seen, null) <= 0.05) is significant


def test_trees_see_what_a_line_cannot():
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=(300, 2)), rng.normal(size=(300, 1))
    target = np.abs(second[:, 0]) + 0.1 * rng.normal(size=300)
    splits = repeated_splits(300, repeats=1)
    assert abs(gain(first, second, target, splits).mean) < 0.1
    assert gain(first, second, target, splits, boosted_trees).mean > 0.4


def test_the_folds_are_scikit_learns():
    from sklearn.model_selection import RepeatedKFold

    expected = RepeatedKFold(n_splits=5, n_repeats=3, random_state=0).split(np.zeros(31))
    for (train, test), (a, b) in zip(repeated_splits(31), expected, strict=True):
        assert np.array_equal(train, a)
        assert np.array_equal(test, b)
