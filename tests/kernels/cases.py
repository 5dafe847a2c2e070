"""Inputs for the gated delta rule, its outputs and gradients by name, and how far two sets of them are apart."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lib.kernels import gated_delta_rule

NAMES = ("q", "k", "v", "g", "beta", "initial_state")


@functools.cache
def inputs(
    batch: int,
    time: int,
    heads: int,
    key_size: int,
    value_size: int,
    *,
    decay: float = 0.1,
    rho: float = 0.0,
    beta: float | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Float64 inputs by name, with the weights that make a loss of both outputs.

    decay: g is uniform in [-decay, 0]. rho: the cosine between two keys, on average. beta: a constant, or None for
    uniform in [0, 2].
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    steps = (batch, time, heads)
    common = normalize(normal(1, 1, heads, key_size), dim=-1)
    own = normalize(normal(*steps, key_size), dim=-1)
    return {
        "q": normalize(normal(*steps, key_size), dim=-1),
        "k": normalize(rho**0.5 * common + (1 - rho) ** 0.5 * own, dim=-1),
        "v": normal(*steps, value_size),
        "g": -decay * uniform(*steps),
        "beta": 2 * uniform(*steps) if beta is None else torch.full(steps, beta, dtype=torch.float64),
        "initial_state": normal(batch, heads, key_size, value_size),
        "weights_o": normal(*steps, value_size),
        "weights_state": normal(batch, heads, key_size, value_size),
    }


def evaluate(
    case: dict[str, Tensor], impl: str, dtype: torch.dtype = torch.float32, **options: object
) -> dict[str, Tensor]:
    """Both outputs and all six gradients of a call, in float64: o, state, dq, dk, dv, dg, dbeta, dinitial_state."""
    state_dtype = torch.float64 if dtype == torch.float64 else torch.float32
    leaves = {name: case[name].to(dtype if name in ("q", "k", "v") else state_dtype) for name in NAMES}
    leaves = {name: leaf.detach().clone().requires_grad_() for name, leaf in leaves.items()}
    o, state = gated_delta_rule(**leaves, impl=impl, **options)
    loss = (o * case["weights_o"].to(o.dtype)).sum() + (state * case["weights_state"].to(state.dtype)).sum()
    grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    found = {"o": o, "state": state}
    for (name, leaf), grad in zip(leaves.items(), grads, strict=True):
        found["d" + name] = torch.zeros_like(leaf) if grad is None else grad
    return {name: value.detach().double() for name, value in found.items()}


def errors(found: dict[str, Tensor], right: dict[str, Tensor]) -> dict[str, float]:
    """Root mean square of the difference over that of the right values, by name; NaN stays NaN."""
    apart = {}
    for name, value in right.items():
        size = value.square().mean().sqrt().clamp_min(1e-6) if value.numel() else torch.tensor(1.0)
        gap = (found[name] - value).square().mean().sqrt() if value.numel() else torch.tensor(0.0)
        apart[name] = (gap / size).item()
    return apart


def assert_close(found: dict[str, Tensor], right: dict[str, Tensor], tolerance: float) -> None:
    """Every named value has the right shape and lies within the tolerance, or the error lists those that do not."""
    assert {name: x.shape for name, x in found.items()} == {name: x.shape for name, x in right.items()}
    far = {name: f"{error:.1e}" for name, error in errors(found, right).items() if not error <= tolerance}
    assert not far, f"further than {tolerance:.0e} from float64: {far}"
