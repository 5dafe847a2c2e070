"""The gated delta rule step by step in compiled C, for a CPU: the state stays in the cache, memory is read once.

The backward pass is the recurrence run in reverse. It needs the states again, and rebuilds them from one checkpoint
per EVERY steps. With several torch threads the rows of B * H are shared out; the result does not depend on how many.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lib.kernels.gated_delta.recurrence_c import SOURCE
from lib.kernels.row_calls import over_rows, refusal

EVERY = 32  # 32 states of 64 x 32 floats are 256 KB: half of a common second-level cache


@functools.cache
def why_not() -> str | None:
    """Why the compiled recurrence cannot be used on this machine, or None. The first call may build it (1 s)."""
    return refusal(SOURCE)


def compiled_gated_delta_rule(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, scale: float, initial_state: Tensor
) -> tuple[Tensor, Tensor]:
    """Run the recurrence (README equation 2) in C, with gradients of all inputs (equation 13), once differentiable.

    q, k [B, T, H, K]; v [B, T, H, V]; g, beta [B, T, H]; initial_state [B, H, K, V]; all float32 or all float64,
    on a CPU. Returns o [B, T, H, V] and the final state [B, H, K, V].
    Raises BookError where no C compiler works, MemoryError when its scratch memory cannot be had.

    Source: Yang, Kautz and Hatamizadeh, Gated Delta Networks (2024), equation 10. Used by chapters 07 to 10.
    """
    return _Compiled.apply(q, k, v, g, beta, initial_state, scale)


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, g, beta, initial_state, scale):
        q, k, v, decay, beta, initial_state = (x.contiguous() for x in (q, k, v, g.exp(), beta, initial_state))
        batch, time, heads, key_size = q.shape
        o, final_state = torch.empty_like(v), torch.empty_like(initial_state)
        error = checkpoints = None
        if any(ctx.needs_input_grad):
            error = torch.empty_like(v)
            checkpoints = q.new_empty(batch * heads, -(-time // EVERY), key_size, v.shape[3])
            ctx.save_for_backward(q, k, decay, beta, error, checkpoints)
            ctx.scale = scale
        tensors = (q, k, v, decay, beta, initial_state, o, final_state, error, checkpoints)
        _call("gated_delta_forward", q.shape, v.shape[3], scale, tensors)
        return o, final_state

    @staticmethod
    @once_differentiable
    def backward(ctx, d_o, d_final):
        q, k, decay, beta, error, checkpoints = ctx.saved_tensors
        d_o, d_final = d_o.contiguous(), d_final.contiguous()
        d_q, d_k, d_g, d_beta = (torch.zeros_like(x) for x in (q, k, decay, beta))
        d_v, d_initial = torch.empty_like(d_o), torch.empty_like(d_final)
        tensors = (q, k, decay, beta, error, checkpoints, d_o, d_final, d_q, d_k, d_v, d_g, d_beta, d_initial)
        _call("gated_delta_backward", q.shape, d_o.shape[3], ctx.scale, tensors)
        return d_q, d_k, d_v, d_g, d_beta, d_initial, None


def _call(name: str, shape: torch.Size, value_size: int, scale: float, tensors: tuple[Tensor | None, ...]) -> None:
    """Call a C function over all rows of B * H."""
    batch, time, heads, key_size = shape
    touched = batch * heads * time * key_size * value_size
    numbers = (time, heads, key_size, value_size, EVERY, float(scale))
    if over_rows(SOURCE, name, batch * heads, touched, numbers, tensors):
        raise MemoryError(f"{name} could not allocate its scratch memory for K={key_size}")
