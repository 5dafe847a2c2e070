"""Bounds on a true likelihood from a label-smoothed loss: against the floor, against many random distributions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.analysis.published_run import largest_nll, least_loss, least_nll
from lib.errors import BookError
from lib.trainers.codebook_loss import smoothing_floor


def smoothed(logits: np.ndarray, target: int, smoothing: float) -> tuple[float, float]:
    """The true likelihood and the smoothed loss of one token, written out."""
    chance = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
    return -chance[target], -(1 - smoothing) * chance[target] - smoothing * chance.mean()


@given(st.integers(0, 10_000), st.floats(0.1, 12))
@settings(max_examples=80, deadline=None)
def test_no_model_escapes_the_bounds(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    pairs = [smoothed(scale * rng.standard_normal(50), rng.integers(50), 0.1) for _ in range(20)]
    nll, loss = np.mean(pairs, axis=0)
    assert least_nll(loss, 0.1, 50) - 1e-9 <= nll <= largest_nll(loss, 0.1, 50) + 1e-9


def test_the_bounds_are_reached() -> None:
    for chance in (0.01, 0.3, 0.95):
        nll = -math.log(chance)
        rest = np.log((1 - chance) / 49)
        loss = 0.9 * nll - 0.1 * (math.log(chance) + 49 * rest) / 50
        assert least_loss(nll, 0.1, 50) == pytest.approx(loss)
        bound = largest_nll if chance < 0.902 else least_nll
        assert bound(loss, 0.1, 50) == pytest.approx(nll, rel=1e-6)


def test_the_floor_is_the_entropy_of_the_smoothed_target() -> None:
    floor = smoothing_floor(0.1, 1027)
    assert floor == pytest.approx(1.0175, abs=5e-5)
    best = -math.log(0.9 + 0.1 / 1027)
    assert least_loss(best, 0.1, 1027) == pytest.approx(floor)
    assert largest_nll(floor + 1e-9, 0.1, 1027) == pytest.approx(best, abs=1e-3)
    with pytest.raises(BookError, match="below the floor"):
        largest_nll(floor - 0.01, 0.1, 1027)


def test_without_smoothing_the_loss_is_the_likelihood() -> None:
    assert largest_nll(2.5, 0.0, 1027) == 2.5
    assert least_loss(0.0, 0.1, 10) == math.inf
