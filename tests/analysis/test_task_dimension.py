"""A known number of shared dimensions is found by the hybrid critic, and the ceiling is where it must be."""

from __future__ import annotations

import math

import pytest
import torch

from lib.analysis.task_dimension import Critic, dimension, information
from lib.errors import BookError


def shared(dimensions, rows=4000, noise=0.3):
    g = torch.Generator().manual_seed(0)
    z = torch.randn(rows, dimensions, generator=g)
    x = torch.cat([z, torch.randn(rows, 8 - dimensions, generator=g)], dim=1) @ torch.randn(8, 8, generator=g)
    return x, z + noise * torch.randn(z.shape, generator=g)


def test_the_hybrid_critic_finds_two_shared_dimensions_and_the_separable_one_needs_more():
    """Over three starts, because now and then one start of a small critic is slow."""
    x, y = shared(2)
    found = {}
    for kind in ("separable", "hybrid"):
        curve = {
            k: sum(
                information(x, y, k, kind, generator=torch.Generator().manual_seed(start), steps=250, batch=64) / 3
                for start in (1, 2, 3)
            )
            for k in (1, 2, 4)
        }
        found[kind] = dimension(curve, share=0.85)
        assert max(curve.values()) < math.log(64)
    assert found == {"separable": 4, "hybrid": 2}


def test_strangers_share_nothing():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(2000, 4, generator=g), torch.randn(2000, 3, generator=g)
    assert information(x, y, 2, "separable", generator=g, steps=60, batch=64) < 0.05


def test_a_function_meets_the_ceiling_of_its_batch():
    x, _ = shared(4)
    found = [
        information(x, x, 8, "separable", generator=torch.Generator().manual_seed(1), steps=150, batch=n)
        for n in (16, 64)
    ]
    for nats, n in zip(found, (16, 64), strict=True):
        assert 0.9 * math.log(n) < nats <= math.log(n)


def test_the_dimension_is_the_first_that_reaches_the_share():
    assert dimension({1: 0.5, 2: 0.95, 4: 1.0, 8: 0.97}) == 2
    assert dimension({1: 0.5, 2: 0.8, 4: 1.0}) == 4
    with pytest.raises(BookError, match="no k tells anything"):
        dimension({1: -0.1, 2: 0.0})


def test_bad_input_is_refused():
    g = torch.Generator()
    with pytest.raises(BookError, match="separable or hybrid"):
        Critic(3, 3, 2, "linear", g)
    with pytest.raises(BookError, match="four batches"):
        information(torch.zeros(10, 2), torch.zeros(10, 2), 1, "hybrid", generator=g)
