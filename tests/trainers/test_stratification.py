"""Shares of labels, against what is wanted and against a random split."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.datasets import odor
from lib.errors import BookError
from lib.trainers import stratified_split


@st.composite
def label_tables(draw) -> np.ndarray:
    """Bool [n, L] of any density, rows without labels and labels without rows included."""
    shape = draw(st.integers(1, 60)), draw(st.integers(1, 6))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return generator.random(shape) < generator.random(shape[1])


@settings(deadline=None)
@given(labels=label_tables(), shares=st.sampled_from([(0.8, 0.2), (0.5, 0.5), (0.6, 0.3, 0.1)]))
def test_every_row_is_in_one_part(labels, shares):
    parts = stratified_split(labels, shares, generator=np.random.default_rng(0))
    assert len(parts) == len(shares)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    assert all((np.diff(part) > 0).all() for part in parts)


@settings(deadline=None)
@given(counts=st.lists(st.integers(0, 40), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_with_one_label_a_row_every_share_is_met_to_a_row(counts, seed):
    labels = np.repeat(np.eye(len(counts), dtype=bool), counts, axis=0)
    if not len(labels):
        return
    train, held_out = stratified_split(labels, generator=np.random.default_rng(seed))
    for part, share in ((train, 0.8), (held_out, 0.2)):
        assert (np.abs(labels[part].sum(axis=0) - share * np.array(counts)) < 1).all()


def test_labels_of_odorants_are_shared_better_than_at_random():
    """On the pocket table: the mean miss of a label's held-out share is under a third of a random split's."""
    labels = odor.label_matrix(odor.load("pocket"))

    def miss(held_out: np.ndarray) -> float:
        return float(np.abs(labels[held_out].sum(axis=0) / labels.sum(axis=0) - len(held_out) / len(labels)).mean())

    for seed in range(3):
        generator = np.random.default_rng(seed)
        train, held_out = stratified_split(labels, generator=generator)
        assert abs(len(held_out) - 0.2 * len(labels)) < 0.02 * len(labels)
        assert labels[train].any(axis=0).all()
        assert labels[held_out].any(axis=0).all()
        assert miss(held_out) < miss(generator.permutation(len(labels))[: len(held_out)]) / 3


def test_the_generator_decides():
    labels = np.random.default_rng(0).random((50, 4)) < 0.3
    splits = [stratified_split(labels, generator=np.random.default_rng(seed))[1] for seed in (1, 1, 2)]
    assert np.array_equal(splits[0], splits[1])
    assert not np.array_equal(splits[0], splits[2])


def test_rows_are_visited_in_a_drawn_order():
    """With one label for all, the first 60 % visited are learnt from: in file order none of them would be held out."""
    _, held_out = stratified_split(np.ones((50, 1), dtype=bool), generator=np.random.default_rng(0))
    assert len(held_out) == 10
    assert held_out.min() < 29


@pytest.mark.parametrize(
    ("labels", "shares"),
    [
        (np.ones((4, 2)), (0.8, 0.2)),
        (np.ones(4, dtype=bool), (0.8, 0.2)),
        (np.ones((0, 2), dtype=bool), (0.8, 0.2)),
        (np.ones((4, 2), dtype=bool), (0.8, 0.3)),
        (np.ones((4, 2), dtype=bool), (1.2, -0.2)),
    ],
    ids=["floats", "one axis", "no rows", "more than all", "negative"],
)
def test_what_cannot_be_split_is_refused(labels, shares):
    with pytest.raises(BookError, match="give"):
        stratified_split(labels, shares, generator=np.random.default_rng(0))
