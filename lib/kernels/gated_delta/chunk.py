"""The gated delta rule in chunks, in plain torch: matrix products inside a chunk, a short loop over chunks.

README.md derives the forms; the equation numbers below are its own. The backward pass is written by hand: it keeps one
state per stretch of chunks instead of one per step, and it is linear in T. The intermediates of a stretch fit a cache.
R stands for B * H, N for the chunks of a stretch, C for the steps of a chunk.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 32  # the fastest of 16, 32 and 64 on a CPU
BLOCK = 16  # steps solved at once; a chunk solved whole would double the rounding error on correlated keys
WORKING_SET = 400_000  # elements of one intermediate of a stretch; about ten are alive at once
SMALLEST_BETA = 1e-30  # stands for beta = 0, so that u / beta is the prediction error there too
SMALLEST_G = -1e4  # exp of it is 0 in every dtype, and sums of it stay finite, which those of -inf do not


def chunk_gated_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    beta: Tensor,
    scale: float,
    initial_state: Tensor,
    chunk_size: int = CHUNK,
) -> tuple[Tensor, Tensor]:
    """Run the recurrence chunk by chunk (README equations 4 to 12), with gradients of all inputs, once differentiable.

    q, k [B, T, H, K]; v [B, T, H, V]; g, beta [B, T, H]; initial_state [B, H, K, V]; all float32 or all float64.
    chunk_size: steps per chunk; any length T >= 1 is filled up to a multiple of it with steps that change nothing.
    Returns o [B, T, H, V] and the final state [B, H, K, V].

    Source: Yang, Kautz and Hatamizadeh, Gated Delta Networks (2024), section 3.3, with the WY form of
    Yang et al., Parallelizing Linear Transformers with the Delta Rule (2024). Used by chapters 07 to 10.
    """
    block = min(BLOCK, chunk_size, q.shape[1])
    size = min(chunk_size // block, -(-q.shape[1] // block)) * block
    return _Chunked.apply(q, k, v, g, beta, initial_state, scale, size, block)


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, g, beta, initial_state, scale, size, block):
        o = torch.empty(v.shape, dtype=v.dtype, device=v.device)
        state, saved, stretch = initial_state.flatten(0, 1), [], _stretch(q, v, size)
        keep = any(ctx.needs_input_grad)
        for start in range(0, q.shape[1], stretch):
            inputs = [x[:, start : start + stretch] for x in (q, k, v, g, beta)]
            o_part, state, kept = _forward_stretch(*inputs, state, scale, size, block)
            o[:, start : start + stretch] = o_part
            saved += kept if keep else ()
        ctx.scale, ctx.size = scale, size
        ctx.save_for_backward(q, k, v, g, beta, *saved)
        return o, state.view_as(initial_state).clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, d_o, d_final):
        q, k, v, g, beta, *saved = ctx.saved_tensors
        grads = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v, g, beta)]
        d_state, stretch = d_final.flatten(0, 1), _stretch(q, v, ctx.size)
        for start in reversed(range(0, q.shape[1], stretch)):
            part = slice(start, start + stretch)
            kept, saved = saved[-6:], saved[:-6]
            inputs = [x[:, part] for x in (q, k, g, beta, d_o)]
            *parts, d_state = _backward_stretch(*inputs, d_state, kept, ctx.scale, ctx.size)
            for grad, part_grad in zip(grads, parts, strict=True):
                grad[:, part] = part_grad
        return *grads, d_state.view_as(d_final), None, None, None


def _forward_stretch(q, k, v, g, beta, state, scale, size, block):
    """Outputs [B, t, H, V], the state after [R, K, V], and what the backward pass wants to find again."""
    shape = v.shape
    q, k, v = (_by_chunk(x, size) for x in (q, k, v))
    beta = _beta_by_chunk(beta, size)
    decay, from_start, to_end, whole = _decays(g, size, q.dtype)

    scores = (q @ k.mT).mul_(decay).mul_(scale).tril_()
    overlap = (k @ k.mT).mul_(decay).tril_(-1)
    solve = _solve_blocks(overlap, beta, block)
    # One product with the state serves the read-out (queries, above) and the prediction (keys, below).
    readers = torch.cat([q * (from_start * scale), k * from_start], dim=2)
    writers = k * to_end

    states = q.new_empty(len(q) + 1, *state.shape)
    states[0] = state
    o, u = torch.empty_like(v), torch.empty_like(v)
    for n in range(len(q)):
        read = torch.bmm(readers[n], states[n])
        o[n] = read[:, :size]
        _substitute(solve[n], overlap[n], v[n] - read[:, size:], out=u[n])
        torch.mul(states[n], whole[n], out=states[n + 1]).baddbmm_(writers[n].mT, u[n])
    o.flatten(0, 1).baddbmm_(scores.flatten(0, 1), u.flatten(0, 1))
    return _by_time(o, shape), states[-1], (decay, scores, overlap, solve, u, state)


def _backward_stretch(q, k, g, beta, d_o, d_state, kept, scale, size):
    """Gradients of q, k, v, g, beta over a stretch, and of the state [R, K, V] that it began with."""
    decay, scores, overlap, solve, u, state = kept
    shape = q.shape
    q, k, d_o = (_by_chunk(x, size) for x in (q, k, d_o))
    beta = _beta_by_chunk(beta, size)
    _, from_start, to_end, whole = _decays(g, size, q.dtype, between=False)
    readers, predictors, writers = q * (from_start * scale), k * from_start, k * to_end

    # The states between chunks are made again: keeping them would double what a forward pass leaves in memory.
    states = q.new_empty(len(q) + 1, *state.shape)
    states[0] = state
    for n in range(len(q)):
        torch.mul(states[n], whole[n], out=states[n + 1]).baddbmm_(writers[n].mT, u[n])

    d_u = scores.mT @ d_o
    d_v = torch.empty_like(d_u)
    d_states = torch.empty_like(states)
    d_states[-1] = d_state
    for n in reversed(range(len(q))):
        d_u[n].baddbmm_(writers[n], d_states[n + 1])
        _substitute_back(solve[n], overlap[n], d_u[n], out=d_v[n])
        torch.mul(d_states[n + 1], whole[n], out=d_states[n])
        d_states[n].baddbmm_(readers[n].mT, d_o[n]).baddbmm_(predictors[n].mT, d_v[n], alpha=-1)

    d_beta = ((u / beta) * (d_v / beta)).sum(-1, keepdim=True)
    d_scores, d_overlap = d_o @ u.mT, d_v @ u.mT
    between = (d_scores * scores - d_overlap * overlap).tril_(-1)
    d_scores.mul_(decay).mul_(scale).tril_()
    d_overlap.mul_(decay).tril_(-1)
    q_read = (d_o @ states[:-1].mT).mul_(from_start * scale)
    k_read = (d_v @ states[:-1].mT).mul_(from_start)
    k_write = (u @ d_states[1:].mT).mul_(to_end)

    # What each sum of log decays carries, and from it what each step's does.
    written = (k * k_write).sum(-1)
    d_total = between.sum(-1) - between.sum(-2) + (q * q_read).sum(-1) - (k * k_read).sum(-1) - written
    d_total[..., -1] += written.sum(-1) + (states[:-1] * d_states[1:]).sum((-2, -1)) * whole[..., 0, 0]
    d_g = d_total.flip(-1).cumsum(-1).flip(-1)[..., None]

    d_q = q_read.add_(d_scores @ k)
    d_k = k_write.sub_(k_read).add_(d_scores.mT @ q).sub_((d_overlap + d_overlap.mT) @ k)
    d_q, d_k, d_v, d_g, d_beta = (_by_time(x, shape) for x in (d_q, d_k, d_v, d_g, d_beta))
    return d_q, d_k, d_v, d_g[..., 0], d_beta[..., 0], d_states[0]


def _stretch(q: Tensor, v: Tensor, size: int) -> int:
    """Steps handled at once: whole chunks, as many as keep the intermediates within the cache."""
    batch, _, heads, key_size = q.shape
    per_chunk = batch * heads * size * max(key_size, v.shape[3])
    return size * max(1, WORKING_SET // per_chunk)


def _beta_by_chunk(beta: Tensor, size: int) -> Tensor:
    """[B, t, H] -> [N, R, C, 1], with no exact zero."""
    beta = _by_chunk(beta[..., None], size)
    return torch.where(beta.abs() < SMALLEST_BETA, SMALLEST_BETA, beta)


def _solve_blocks(overlap: Tensor, beta: Tensor, block: int) -> Tensor:
    """The X_b of README equation 9, [N, size / block, R, block, block], from overlap [N, R, C, C] (Y there)."""
    diagonal = overlap.unflatten(3, (-1, block)).unflatten(2, (-1, block)).diagonal(dim1=2, dim2=4)
    diagonal = diagonal.movedim(-1, 1).contiguous()
    beta = beta.unflatten(2, (-1, block)).movedim(2, 1)
    return _unit_lower_inverse(diagonal * beta).mul_(beta.mT)


def _substitute(solve: Tensor, overlap: Tensor, rest: Tensor, out: Tensor) -> None:
    """out = X rest for one chunk, block after block: what earlier blocks write is taken from what is left to write."""
    block = solve.shape[-1]
    for n, start in enumerate(range(0, rest.shape[1], block)):
        rows = slice(start, start + block)
        left = rest[:, rows]
        if n:
            left = torch.baddbmm(left, overlap[:, rows, :start], out[:, :start], alpha=-1)
        out[:, rows] = torch.bmm(solve[n], left)


def _substitute_back(solve: Tensor, overlap: Tensor, d_u: Tensor, out: Tensor) -> None:
    """out = X^T d_u for one chunk: the same blocks, last first."""
    block = solve.shape[-1]
    for n, start in reversed(list(enumerate(range(0, d_u.shape[1], block)))):
        rows, end = slice(start, start + block), start + block
        left = d_u[:, rows]
        if end < d_u.shape[1]:
            left = torch.baddbmm(left, overlap[:, end:, rows].mT, out[:, end:], alpha=-1)
        out[:, rows] = torch.bmm(solve[n].mT, left)


def _unit_lower_inverse(lower: Tensor) -> Tensor:
    """(I + lower)^-1 by forward substitution (README equation 8). A product of powers would fail on correlated keys.

    In float64, which is as fast for blocks this small and takes a third off the error on correlated keys.
    """
    lower64 = lower.double()
    identity = torch.eye(lower.shape[-1], dtype=torch.float64, device=lower.device).expand_as(lower64)
    return torch.linalg.solve_triangular(lower64, identity, upper=False, unitriangular=True).to(lower.dtype)


def _by_chunk(x: Tensor, size: int) -> Tensor:
    """[B, t, H, D] -> [N, R, C, D], contiguous, with zero steps appended to fill the last chunk."""
    batch, time, heads, width = x.shape
    x = F.pad(x, (0, 0, 0, 0, 0, -time % size))
    x = x.view(batch, -1, size, heads, width).permute(1, 0, 3, 2, 4)
    return x.reshape(len(x), batch * heads, size, width).contiguous()


def _by_time(x: Tensor, shape: torch.Size) -> Tensor:
    """[N, R, C, D] -> [B, t, H, D], with the appended steps cut off; shape begins with B, t, H."""
    batch, time, heads, _ = shape
    chunks, _, size, width = x.shape
    x = x.view(chunks, batch, heads, size, width).permute(1, 0, 3, 2, 4)
    return x.reshape(batch, chunks * size, heads, width)[:, :time]


def _decays(
    g: Tensor, size: int, dtype: torch.dtype, between: bool = True
) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
    """Products of decays within each chunk, from g [B, t, H]: from step to step [N, R, C, C] (lower triangle; 1 above
    it; None unless asked for), from the start to each step and from each step to the end [N, R, C, 1], and over the
    whole chunk [N, R, 1, 1].

    The sums are float64: the difference of two float32 sums of about 1000 would be wrong in the fourth digit.
    """
    total = _by_chunk(g[..., None], size)[..., 0].double().clamp_min(SMALLEST_G).cumsum(-1)
    pairs = (total[..., :, None] - total[..., None, :]).to(dtype).tril_().exp_() if between else None
    to_end = (total[..., -1:] - total).to(dtype).exp_()[..., None]
    from_start = total.to(dtype).exp_()[..., None]
    return pairs, from_start, to_end, from_start[:, :, -1:]
