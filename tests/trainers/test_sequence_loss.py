"""Which positions are trained, what the roll gets wrong, and the loss against torch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import BookError
from lib.trainers.sequence_loss import masked_cross_entropy, trained, trained_by_roll


def padded(lengths, time):
    return torch.tensor([[5] * length + [0] * (time - length) for length in lengths])


@given(st.integers(1, 9).flatmap(lambda time: st.tuples(st.just(time), st.lists(st.integers(0, time), min_size=1))))
def test_a_row_of_n_tokens_trains_n_and_one_stop(case):
    time, lengths = case
    targets = padded(lengths, time)
    kept = {rule: trained(targets, rule).sum(1).tolist() for rule in ("no_pads", "first_pad", "all_pads")}
    assert kept["no_pads"] == lengths
    assert kept["first_pad"] == [min(length + 1, time) if length else 0 for length in lengths]
    assert kept["all_pads"] == [time if length else 0 for length in lengths]
    assert not bool((trained(targets, "no_pads") & ~trained(targets, "first_pad")).any())
    assert not bool((trained(targets, "first_pad") & ~trained(targets, "all_pads")).any())


@given(st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=1, max_size=6))
def test_roll_and_shift_differ_only_where_a_row_begins_with_pad_and_ends_with_a_token(rows):
    targets = torch.tensor(rows)
    different = trained(targets, "first_pad") != trained_by_roll(targets)
    wraps = (targets[:, 0] == 0) & (targets[:, -1] != 0)
    assert different.any(1).tolist() == wraps.tolist()
    assert not bool(different[:, 1:].any())


def test_a_row_that_wraps():
    row = torch.tensor([[0, 0, 3, 4]])
    assert trained(row, "first_pad").tolist() == [[False, False, True, True]]
    assert trained_by_roll(row).tolist() == [[True, False, True, True]]


@pytest.mark.parametrize("rule", ["no_pads", "first_pad", "all_pads"])
def test_the_loss_is_the_mean_over_the_trained_and_only_they_get_a_gradient(rule):
    generator = torch.Generator().manual_seed(0)
    targets = padded([3, 0, 6, 1], 6)
    logits = torch.randn(4, 6, 9, generator=generator, requires_grad=True)
    mask = trained(targets, rule)
    loss = masked_cross_entropy(logits, targets, rule)
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits[mask], targets[mask]))
    loss.backward()
    assert (logits.grad.abs().sum(-1) > 0).tolist() == mask.tolist()


def test_what_cannot_be_trained_is_refused():
    targets = padded([2, 1], 3)
    with pytest.raises(BookError, match="rule is 'pads'; it must be one of no_pads, first_pad, all_pads"):
        trained(targets, "pads")
    with pytest.raises(BookError, match="every row is empty"):
        masked_cross_entropy(torch.zeros(2, 3, 6), padded([0, 0], 3), "first_pad")
    with pytest.raises(BookError, match="the first two must agree"):
        masked_cross_entropy(torch.zeros(2, 4, 6), targets, "first_pad")
