"""The sizes and numbers that the gated delta groups share."""

from __future__ import annotations

import functools

import torch
from torch.nn.functional import normalize

from lib.kernels import gated_delta_rule

BATCH, HEADS, WIDTH = 4, 6, 64


def leaves(time: int, grad: bool = True) -> tuple[list[torch.Tensor], torch.Tensor]:
    """q, k, v, g, beta at B=4, H=6, K=V=64 in float32, and the weights of a loss; the same numbers each time."""
    generator = torch.Generator().manual_seed(0)
    steps = (BATCH, time, HEADS)
    q, k, v, weights = (torch.randn(*steps, WIDTH, generator=generator) for _ in range(4))
    g = -0.1 * torch.rand(*steps, generator=generator)
    beta = 2 * torch.rand(*steps, generator=generator)
    return [x.requires_grad_(grad) for x in (q, normalize(k, dim=-1), v, g, beta)], weights


def implementation(name: str):
    """The public rule with one implementation."""
    return functools.partial(gated_delta_rule, impl=name)


def chunked_flops(time: int, chunk: int = 16) -> float:
    """The least FLOP that forward and backward need in chunks of 16, nothing made twice.

    13 products have a chunk on two sides, 9 have the state in them.
    """
    inside, state = 2 * chunk * WIDTH, 2 * WIDTH**2
    return BATCH * HEADS * time * (13 * inside + 9 * state)


def stepped_flops(time: int, passes: int) -> float:
    """FLOP of a loop that touches the state `passes` times a step, one multiply and one add each."""
    return BATCH * HEADS * time * passes * 2 * WIDTH**2
