"""The selective scan in compiled C, for a CPU: a block of channels runs through time with its states in the cache.

The backward pass is the recurrence run in reverse. It needs the states again, and rebuilds them from one checkpoint
per EVERY steps. With several torch threads the batch rows are shared out; the result does not depend on how many.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lib.kernels.row_calls import over_rows, refusal
from lib.kernels.selective_scan.scan_c import SOURCE

EVERY = 32  # with 16 states a stretch and its decays are 64 KB of vectors


@functools.cache
def why_not() -> str | None:
    """Why the compiled scan cannot be used on this machine, or None. The first call may build it (1 s)."""
    return refusal(SOURCE)


def compiled_selective_scan(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, initial_state: Tensor
) -> tuple[Tensor, Tensor]:
    """Run the recurrence (README equation 1) in C, with gradients of all inputs (equation 3), once differentiable.

    x, dt [B, T, E]; a [E, N], negative; b, c [B, T, N]; d [E]; initial_state [B, E, N]; all float32 or all float64,
    on a CPU. Returns y [B, T, E] and the final state [B, E, N].
    Raises BookError where no C compiler works, MemoryError when its scratch memory cannot be had.
    Source: Gu and Dao, Mamba (2023), section 3.3: states are rebuilt, not stored. Used by chapter 07.
    """
    return _Compiled.apply(x, dt, a, b, c, d, initial_state)


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, dt, a, b, c, d, initial_state):
        inputs = tuple(each.contiguous() for each in (x, dt, a, b, c, d))
        y, final_state = torch.empty_like(inputs[0]), torch.empty_like(initial_state)
        batch, time, channels = x.shape
        checkpoints = None
        if any(ctx.needs_input_grad):
            checkpoints = x.new_empty(batch, -(-time // EVERY), a.shape[1], channels)
            ctx.save_for_backward(*inputs, checkpoints)
        tensors = (*inputs, initial_state.contiguous(), y, final_state, checkpoints)
        _call("selective_scan_forward", x.shape, a.shape[1], tensors)
        return y, final_state

    @staticmethod
    @once_differentiable
    def backward(ctx, d_y, d_final):
        *inputs, checkpoints = ctx.saved_tensors
        x, dt, a, b, c, d = inputs
        dx, d_dt, d_initial = torch.empty_like(x), torch.empty_like(dt), torch.empty_like(d_final.contiguous())
        db, dc = torch.zeros_like(b), torch.zeros_like(c)
        da, dd = a.new_empty(x.shape[0], *a.shape), d.new_empty(x.shape[0], *d.shape)
        given = (*inputs, checkpoints, d_y.contiguous(), d_final.contiguous())
        _call("selective_scan_backward", x.shape, a.shape[1], (*given, dx, d_dt, da, db, dc, dd, d_initial))
        return dx, d_dt, da.sum(0), db, dc, dd.sum(0), d_initial


def _call(name: str, shape: torch.Size, states: int, tensors: tuple[Tensor | None, ...]) -> None:
    """Call a C function over all batch rows."""
    batch, time, channels = shape
    touched = batch * time * channels * states
    if over_rows(SOURCE, name, batch, touched, (time, channels, states, EVERY), tensors):
        raise MemoryError(f"{name} could not allocate its scratch memory for N={states}")
