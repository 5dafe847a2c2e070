"""Associative recall: what a drawn sequence shows, asks and answers, and the two kinds of given gates."""

from __future__ import annotations

import pytest
import torch

from lib.datasets.recall import UNASKED, RecallTask
from lib.errors import BookError

TASK = RecallTask(pairs=9, queries=4, keys=12, values=5)


def drawn(count: int = 50, seed: int = 0):
    return TASK.draw(count, torch.Generator().manual_seed(seed))


def test_every_query_has_its_answer_where_it_says():
    batch = drawn()
    keys, values = batch.tokens.unbind(1)
    for row in range(50):
        for t in range(9, 13):
            at = batch.answered_at[row, t]
            assert keys[row, at] == keys[row, t]
            assert values[row, at] == batch.targets[row, t]
            assert (keys[row, :9] == keys[row, t]).sum() == 1
    assert torch.equal(batch.answered_at[:, :9], torch.arange(9).expand(50, -1))


def test_shown_values_asked_steps_and_the_blank():
    batch = drawn()
    assert batch.tokens.shape == (50, 2, TASK.steps)
    assert TASK.vocabulary == 12
    assert (batch.tokens[:, 1, 9:] == 5).all()
    assert (batch.targets[:, :9] == UNASKED).all()
    assert torch.equal(batch.asked, (torch.arange(13) >= 9).expand(50, -1))
    assert all(len(set(row.tolist())) == 4 for row in batch.answered_at[:, 9:])


def test_values_say_nothing_of_keys():
    batch = drawn(3000)
    table = torch.zeros(12, 5)
    for key, value in zip(batch.tokens[:, 0, :9].flatten(), batch.tokens[:, 1, :9].flatten(), strict=True):
        table[key, value] += 1
    expected = table.sum() / 60
    chi2 = ((table - expected).square() / expected).sum()
    assert chi2 < 100  # 59 degrees of freedom; the .999 quantile is 98


def test_the_generator_decides_everything():
    assert torch.equal(drawn(seed=1).tokens, drawn(seed=1).tokens)
    assert not torch.equal(drawn(seed=1).tokens, drawn(seed=2).tokens)


def test_oracle_gates_read_the_answer_and_nothing_else():
    batch = drawn()
    gates = batch.oracle(3)
    assert gates.shape == (50, 13, 5)
    assert (gates.sum(-1) == 1).all()
    assert (gates.gather(-1, (batch.answered_at // 3)[..., None]) == 1).all()


def test_random_gates_know_nothing_and_see_no_future():
    batch = drawn(4000)
    gates = batch.random(3, torch.Generator().manual_seed(0))
    assert (gates.sum(-1) == 1).all()
    own = torch.arange(13) // 3
    picked = gates.argmax(-1)
    assert (picked <= own).all()
    assert torch.equal(picked[:, :9], own[:9].expand(4000, -1))
    share = (picked == batch.answered_at // 3)[:, 12].double().mean()
    assert share == pytest.approx(1 / 5, abs=0.03)


def test_rows_can_be_taken():
    batch = drawn()
    part = batch.take(torch.tensor([3, 7]))
    assert torch.equal(part.tokens, batch.tokens[[3, 7]])
    assert torch.equal(part.answered_at, batch.answered_at[[3, 7]])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pairs": 0}, "pairs=0; it must be at least 1"),
        ({"queries": 10}, "queries=10, pairs=9, keys=12; .* queries <= pairs <= keys"),
        ({"pairs": 13}, "pairs=13, keys=12"),
    ],
    ids=str,
)
def test_sizes_that_do_not_fit_are_refused(changed, message):
    with pytest.raises(BookError, match=message):
        RecallTask(**{"pairs": 9, "queries": 4, "keys": 12, "values": 5} | changed)
