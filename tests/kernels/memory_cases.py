"""Inputs for gated residual memory, and its outputs, last state and gradients by name."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from lib.kernels import gated_residual_memory
from lib.kernels.memory import MemoryState

NAMES = ("q", "k", "v", "u", "x")
HEADS, KEY, VALUE, WIDTH = 3, 4, 5, 6


@functools.cache
def inputs(time: int, *, batch: int = 2, heads: int = HEADS, seed: int = 0) -> dict[str, Tensor]:
    """Float64 q, k, v, u, x of `time` tokens, and weights that make a loss of the output."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(batch, time, *shape, generator=generator, dtype=torch.float64)

    shapes = {"q": (heads, KEY), "k": (heads, KEY), "v": (heads, VALUE), "u": (WIDTH,), "x": (WIDTH,)}
    return {name: normal(*shape) for name, shape in shapes.items()} | {"weights": normal(heads, VALUE)}


def begun(tokens: int, segment: int, mode: str) -> MemoryState:
    """The state after some earlier tokens."""
    earlier = {name: inputs(tokens, seed=9)[name] for name in NAMES}
    return gated_residual_memory(**earlier, segment=segment, mode=mode, impl="naive")[1]


def evaluate(
    case: dict[str, Tensor], impl: str, state: MemoryState | None = None, dtype: torch.dtype = torch.float64, **options
) -> dict[str, Tensor]:
    """Output, state and the gradients of a loss of both, for the five arguments and the given state, in float64."""
    leaves = {name: case[name].to(dtype).detach().clone().requires_grad_() for name in NAMES}
    given = dict(leaves)
    if state is not None:
        parts = {name: part.to(dtype).detach().clone().requires_grad_() for name, part in state.tensors().items()}
        given["initial_state"] = MemoryState(**parts, filled=state.filled)
        leaves |= {f"state.{name}": part for name, part in parts.items() if part.numel()}
    o, after = gated_residual_memory(**given, impl=impl, **options)
    loss = (o * case["weights"].to(dtype)).sum() + sum(part.square().sum() for part in after.tensors().values())
    grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    found = {"o": o} | {f"after.{name}": part for name, part in after.tensors().items()}
    for (name, leaf), grad in zip(leaves.items(), grads, strict=True):
        found["d" + name] = torch.zeros_like(leaf) if grad is None else grad
    return {name: value.detach().double() for name, value in found.items() if value.numel()}
