"""Batches: every item once an epoch, buckets without needless padding, and the place in the data kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import BookError
from lib.trainers import Batches
from lib.trainers.batching import collate


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(st.integers(1, 50), st.data(), st.booleans())
def test_an_epoch_takes_each_item_at_most_once(count, data, bucketed):
    size = data.draw(st.integers(1, count))
    lengths = rng(1).integers(1, 9, count) if bucketed else None
    batches = Batches(count, size, rng(), lengths)
    seen = np.concatenate([batches.next() for _ in range(count // size)])
    assert len(set(seen.tolist())) == len(seen) == count // size * size


@given(st.integers(0, 40), st.booleans())
def test_goes_on_where_it_was(taken, bucketed):
    lengths = rng(1).integers(1, 9, 23) if bucketed else None
    batches = Batches(23, 4, rng(), lengths)
    for _ in range(taken):
        batches.next()
    state = batches.state()
    expected = [batches.next().tolist() for _ in range(15)]
    other = Batches(23, 4, rng(99), lengths)
    other.restore(state)
    assert [other.next().tolist() for _ in range(15)] == expected


def test_epochs_differ():
    batches = Batches(20, 20, rng())
    assert batches.next().tolist() != batches.next().tolist()


def test_buckets_save_padding():
    lengths = rng(1).integers(10, 600, 2_000)

    def padding(batches: Batches) -> float:
        plan = [batches.next() for _ in range(100)]
        computed = sum(lengths[rows].max() * len(rows) for rows in plan)
        return 1 - sum(lengths[rows].sum() for rows in plan) / computed

    assert padding(Batches(2_000, 16, rng(), lengths)) < 0.05
    assert padding(Batches(2_000, 16, rng())) > 0.4


def test_buckets_still_shuffle():
    lengths = np.repeat(np.arange(1, 5), 25)
    batches = Batches(100, 5, rng(), lengths)
    order = [int(lengths[batches.next()].max()) for _ in range(20)]
    assert order != sorted(order)


@pytest.mark.parametrize("size", [0, 6])
def test_batch_size_is_checked(size):
    with pytest.raises(BookError, match=f"batch={size} with 5 items"):
        Batches(5, size, rng())


def test_collate_is_trimmed_to_the_longest():
    """Frames 3 and 5 of two codebooks are 4 and 6 steps: 3 and 5 of them predict the next."""
    batch = collate([np.zeros((2, 3), int), np.ones((2, 5), int)], pad=9)
    assert batch.inputs.shape == batch.targets.shape == (2, 2, 5)
    assert batch.lengths == [3, 5]
    assert batch.inputs[0].tolist() == [[0, 0, 0, 9, 9], [9, 0, 0, 0, 9]]
    assert batch.targets[0].tolist() == [[0, 0, 9, 9, 9], [0, 0, 0, 9, 9]]
    assert torch.equal(batch.inputs[:, :, 1:], batch.targets[:, :, :-1])


def test_collate_of_steps():
    batch = collate([np.array([[1, 2, 9]])], pad=9, delay=False)
    assert batch.targets.tolist() == [[[2, 9]]]


def test_collate_text():
    items = [{"codes": np.zeros((1, 4), int), "text": np.ones((n, 3), np.float32)} for n in (2, 5)]
    batch = collate(items, pad=9)
    assert batch.context["text"].shape == (2, 5, 3)
    assert batch.context["text_lengths"].tolist() == [2, 5]
    assert not batch.context["text"][0, 2:].any()


def test_nothing_to_predict():
    with pytest.raises(BookError, match="1 step"):
        collate([np.zeros((1, 1), int)], pad=9)
