"""Gated residual memory a segment at a time, in matrix products instead of a loop (README equations 8 to 12)."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.kernels.memory.gates import fold, memory_gates, segment_means, unfold
from lib.kernels.memory.state import EPS, MemoryState


def parallel_gated_residual_memory(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    u: Tensor,
    x: Tensor,
    *,
    segment: int,
    aggregate: str,
    top_k: int | None,
    mode: str,
    normalise: bool,
    state: MemoryState,
) -> tuple[Tensor, MemoryState]:
    """The same as `naive_gated_residual_memory`, argument by argument.

    Source: Behrouz et al., Memory Caching (2026); README.md derives this form. Used by chapter 08.
    """
    gates = memory_gates(u, x, segment=segment, aggregate=aggregate, top_k=top_k, initial_state=state)
    soup = aggregate == "soup"
    own, cached, ends = segment_reads(
        q, k, v, gates, segment=segment, mode=mode, normalise=normalise, soup=soup, state=state
    )
    return own + cached, state_after(*ends, x, segment, mode, state)


def segment_reads(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    gates: Tensor,
    *,
    segment: int,
    mode: str,
    normalise: bool,
    soup: bool = False,
    state: MemoryState,
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """The two parts of the output under any gates [B, T, L]: what the current memory and what the cache contributes.

    q, k [B, T, H, K], feature-mapped; v [B, T, H, V]. Returns both parts [B, T, H, V], and memory [B, N, H, K, V] and
    normaliser [B, N, H, K] at the end of each of the N segments that the call writes to.
    """
    time, filled = q.shape[1], state.filled
    q, k, v = (fold(part, segment, filled).transpose(2, 3) for part in (q, k, v))  # [B, N, H, S, ...]
    memory, total = held_at_ends(k, v, mode, state)
    before, before_sum = held_before(memory, total, mode, state)
    scores = (q @ k.mT).tril()
    online = scores @ v + q @ before
    ends = torch.cat((state.cached, memory[:, :-1]), dim=1)
    weights = fold(gates, segment, filled)[:, :, None]  # [B, N, 1, S, L]
    if normalise:
        z_online = scores.sum(-1, keepdim=True) + q @ before_sum[..., None]
        z = normalisers(q, torch.cat((state.cached_sum, total), dim=1), z_online)  # [B, N, H, S, L]
        weights = weights / ((weights * z).sum(-1, keepdim=True) if soup else z).clamp_min(EPS)
    own = own_entries(weights, state.segments) * online
    cached = cached_reads(q, ends.transpose(1, 2), weights, state.segments)
    own, cached = (unfold(part.transpose(2, 3), time, filled) for part in (own, cached))
    return own, cached, (memory, total)


def held_at_ends(k: Tensor, v: Tensor, mode: str, state: MemoryState) -> tuple[Tensor, Tensor]:
    """Memory [B, N, H, K, V] and normaliser [B, N, H, K] at the end of each segment of k, v [B, N, H, S, ...]."""
    memory, total = k.mT @ v, k.sum(-2)
    memory = torch.cat((memory[:, :1] + state.online[:, None], memory[:, 1:]), dim=1)
    total = torch.cat((total[:, :1] + state.online_sum[:, None], total[:, 1:]), dim=1)
    return (memory.cumsum(1), total.cumsum(1)) if mode == "checkpoint" else (memory, total)


def held_before(memory: Tensor, total: Tensor, mode: str, state: MemoryState) -> tuple[Tensor, Tensor]:
    """Memory and normaliser with which each segment begins."""
    earlier, earlier_sum = memory[:, :-1], total[:, :-1]
    if mode == "independent":
        earlier, earlier_sum = torch.zeros_like(earlier), torch.zeros_like(earlier_sum)
    return torch.cat((state.online[:, None], earlier), 1), torch.cat((state.online_sum[:, None], earlier_sum), 1)


def normalisers(q: Tensor, sums: Tensor, z_online: Tensor) -> Tensor:
    """Z of every segment's read [B, N, H, S, L], from sums [B, L, H, K]; a segment's own entry is z_online."""
    z = q @ sums.permute(0, 2, 3, 1)[:, None]
    steps = torch.arange(q.shape[1], device=q.device)[:, None]
    own = torch.arange(sums.shape[1], device=q.device) == sums.shape[1] - q.shape[1] + steps
    return torch.where(own[:, None, None], z_online, z)


def own_entries(weights: Tensor, cached: int) -> Tensor:
    """Of weights [B, N, H, S, M + N], the entry of each segment for itself [B, N, H, S, 1]."""
    return weights[..., cached:].diagonal(dim1=1, dim2=4).permute(0, 3, 1, 2)[..., None]


def cached_reads(q: Tensor, ends: Tensor, weights: Tensor, cached: int) -> Tensor:
    """Sum over the segments before each token's own of weight * (q^T end), [B, N, H, S, V]; README equation 11.

    Segment n sees M + n ends. The weights go into the query, so that one product sums over segments and keys at once.
    """
    outputs = []
    for n, (q_n, weights_n) in enumerate(zip(q.unbind(1), weights.unbind(1), strict=True)):
        count = cached + n
        weighed = (weights_n[..., :count, None] * q_n[..., None, :]).flatten(-2)
        outputs.append(weighed @ ends[:, :, :count].flatten(2, 3))
    return torch.stack(outputs, dim=1)


def state_after(memory: Tensor, total: Tensor, x: Tensor, segment: int, mode: str, state: MemoryState) -> MemoryState:
    """The state when the call's tokens are written: finished segments join the cache."""
    means, _ = segment_means(x, segment, state)
    full, filled = divmod(state.filled + x.shape[1], segment)
    cached = torch.cat((state.cached, memory[:, :full]), dim=1)
    cached_sum = torch.cat((state.cached_sum, total[:, :full]), dim=1)
    if filled:
        online, online_sum, x_sum = memory[:, full], total[:, full], means[:, -1] * segment
    elif mode == "checkpoint":
        online, online_sum, x_sum = memory[:, -1], total[:, -1], torch.zeros_like(state.x_sum)
    else:
        online, online_sum, x_sum = (torch.zeros_like(part) for part in (state.online, state.online_sum, state.x_sum))
    return MemoryState(cached, cached_sum, means[:, : state.segments + full], online, online_sum, x_sum, filled)
