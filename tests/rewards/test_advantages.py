"""Group advantages: what they are, and what they cannot see."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import BookError
from lib.rewards.advantages import group_advantages, zero_signal, zero_signal_share

PRICES = st.sampled_from([-1.0, -0.5, 0.0, 1.0, 1.2])
GROUPS = st.lists(st.lists(PRICES, min_size=4, max_size=4), min_size=1, max_size=6)


@pytest.mark.parametrize("wrong", [-0.8, -1.0, 0.0, -5.0], ids=lambda wrong: f"wrong {wrong:g}")
def test_two_outcomes_teach_the_same_whatever_the_lower_one_costs(wrong):
    right = torch.tensor([[1, 0, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=torch.bool)
    post = torch.where(right, 1.0, -0.8).double()
    other = torch.where(right, 1.0, wrong).double()
    assert torch.allclose(group_advantages(post, eps=0.0)[:2], group_advantages(other, eps=0.0)[:2], atol=1e-15)
    assert torch.allclose(group_advantages(post), group_advantages(other), atol=2e-4)
    differs = (group_advantages(post, scale="none") - group_advantages(other, scale="none")).abs().max()
    assert (differs > 0.05) == (wrong != -0.8), "without the division the size of the lower outcome shows"


@given(GROUPS, st.floats(0.01, 50), st.floats(-20, 20))
@settings(max_examples=60, deadline=None)
def test_advantages_forget_positive_affine_maps_up_to_eps(rewards, factor, shift):
    r = torch.tensor(rewards, dtype=torch.float64)
    moved = factor * r + shift
    spread = r.std(dim=1, keepdim=True)
    plain, mapped = group_advantages(r, eps=1e-12), group_advantages(moved, eps=1e-12)
    keep = (spread > 0).expand_as(r)
    assert torch.allclose(plain[keep], mapped[keep], atol=1e-6)


def test_a_negative_factor_turns_the_lesson_round():
    r = torch.tensor([[1.0, 0.0, -1.0, 0.5]], dtype=torch.float64)
    assert torch.allclose(group_advantages(-2 * r, eps=0.0), -group_advantages(r, eps=0.0))


def test_three_levels_show_the_size_of_a_band():
    post = torch.tensor([[1.0, -0.5, -1.0, -1.0]], dtype=torch.float64)
    flat = torch.tensor([[1.0, -0.5, -0.5, -0.5]], dtype=torch.float64)
    gap = lambda r: group_advantages(r, eps=0.0)[0, 1] - group_advantages(r, eps=0.0)[0, 2]  # noqa: E731
    assert gap(post) > 0.1
    assert gap(flat) == 0


@pytest.mark.parametrize(("shape", "group"), [((1, 2), 2), ((3, 7), 7), ((5, 64), 64)])
def test_advantages_sum_to_zero_and_have_unit_spread(shape, group):
    r = torch.randn(shape, generator=torch.Generator().manual_seed(group), dtype=torch.float64)
    found = group_advantages(r, eps=0.0)
    assert torch.allclose(found.sum(dim=1), torch.zeros(shape[0], dtype=torch.float64), atol=1e-12)
    assert torch.allclose(found.std(dim=1), torch.ones(shape[0], dtype=torch.float64))


def test_the_formula_is_the_one_that_trl_computes():
    r = torch.tensor([[1.2, -0.5, -0.5, 1.0], [0.7, 0.7, 0.7, 0.7]])
    mean, std = r.mean(dim=1, keepdim=True), r.std(dim=1, keepdim=True)
    assert torch.equal(group_advantages(r), (r - mean) / (std + 1e-4))


def test_zero_signal_by_formula_and_by_drawing():
    assert zero_signal_share(0.9) == pytest.approx(0.6562)
    assert zero_signal_share(0.5) == pytest.approx(0.125)
    generator = torch.Generator().manual_seed(0)
    for p in (0.1, 0.5, 0.9):
        drawn = (torch.rand(40_000, 4, generator=generator) < p).double()
        assert zero_signal(drawn).double().mean().item() == pytest.approx(zero_signal_share(p), abs=0.01)


def test_a_group_is_silent_only_when_all_earn_the_same():
    r = torch.tensor([[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0], [1.0, -1.0, -0.5, 1.0], [4.0, 3.0, 2.0, 1.0]])
    assert zero_signal(r).tolist() == [True, False, False, False]


@pytest.mark.parametrize("rewards", [torch.ones(3), torch.ones(3, 1), torch.ones(2, 2, 2)])
def test_a_group_of_one_is_refused(rewards):
    with pytest.raises(BookError, match="at least 2 answers"):
        group_advantages(rewards)


def test_odd_arguments_are_refused_by_name():
    with pytest.raises(BookError, match="scale='std'"):
        group_advantages(torch.ones(2, 2), scale="std")
    with pytest.raises(BookError, match=r"p=1\.2"):
        zero_signal_share(1.2)
    with pytest.raises(BookError, match="G=0"):
        zero_signal_share(0.2, 0)
