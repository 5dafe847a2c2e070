"""What the gated delta kernels are measured against: the ways in which the recurrence is usually written."""

from __future__ import annotations

import torch
from torch import Tensor


def unbound_recurrence(q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """A careful loop: sequences unbound first, three batched products a step, autograd behind it.

    q, k [B, T, H, K]; v [B, T, H, V]; g, beta [B, T, H]. Returns o [B, T, H, V] and the state [B, H, K, V].
    """
    batch, _, heads, _ = q.shape
    q, k, v = (x.transpose(1, 2).flatten(0, 1)[:, :, None].unbind(1) for x in (q, k, v))
    decay, beta = (x.transpose(1, 2).flatten(0, 1)[..., None, None].unbind(1) for x in (g.exp(), beta))
    state = q[0].new_zeros(batch * heads, q[0].shape[-1], v[0].shape[-1])
    outputs = []
    for q_t, k_t, v_t, decay_t, beta_t in zip(q, k, v, decay, beta, strict=True):
        state = state * decay_t
        write = beta_t * (v_t - torch.bmm(k_t, state))
        state = torch.baddbmm(state, k_t.mT, write)
        outputs.append(torch.bmm(q_t, state))
    o = torch.cat(outputs, 1).unflatten(0, (batch, heads)).transpose(1, 2)
    return o, state.unflatten(0, (batch, heads))


def indexed_recurrence(q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """A plain loop that indexes time at every step and forms its products by broadcasting, as published references do.

    Its backward pass is quadratic in T: every index fills a zero gradient of full size.
    """
    q, k, v, beta, g = (x.transpose(1, 2).contiguous() for x in (q, k, v, beta, g))
    state = q.new_zeros(*q.shape[:2], q.shape[-1], v.shape[-1])
    o = torch.zeros_like(v)
    for t in range(q.shape[2]):
        state = state * g[:, :, t].exp()[..., None, None]
        held = (state * k[:, :, t][..., None]).sum(-2)
        write = (v[:, :, t] - held) * beta[:, :, t][..., None]
        state = state + k[:, :, t][..., :, None] * write[..., None, :]
        o[:, :, t] = torch.einsum("bhk,bhkv->bhv", q[:, :, t], state)
    return o.transpose(1, 2), state


@torch.no_grad()
def in_place_recurrence(q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """The fastest forward loop that plain torch allows: one state, updated where it lies; no gradients."""
    batch, time, heads, key_size = q.shape
    q, k, v = (x.transpose(1, 2).flatten(0, 1)[:, :, None].unbind(1) for x in (q, k, v))
    decay, beta = (x.transpose(1, 2).flatten(0, 1)[..., None, None].unbind(1) for x in (g.exp(), beta))
    rows, value_size = batch * heads, v[0].shape[-1]
    state, write = q[0].new_zeros(rows, key_size, value_size), q[0].new_empty(rows, 1, value_size)
    o = q[0].new_empty(time, rows, 1, value_size)
    for o_t, q_t, k_t, v_t, decay_t, beta_t in zip(o.unbind(0), q, k, v, decay, beta, strict=True):
        state.mul_(decay_t)
        torch.baddbmm(v_t, k_t, state, alpha=-1, out=write).mul_(beta_t)
        state.baddbmm_(k_t.mT, write)
        torch.bmm(q_t, state, out=o_t)
    o = o[:, :, 0].unflatten(1, (batch, heads)).permute(1, 0, 2, 3)
    return o, state.unflatten(0, (batch, heads))
