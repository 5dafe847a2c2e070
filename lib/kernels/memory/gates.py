"""The gates of gated residual memory for all tokens at once: one per token and segment, shared by heads."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from lib.kernels.memory.state import MemoryState


def memory_gates(
    u: Tensor,
    x: Tensor,
    *,
    segment: int,
    aggregate: str = "gated",
    top_k: int | None = None,
    initial_state: MemoryState | None = None,
) -> Tensor:
    """Gates [B, T, L] over the L segments touched so far (README equations 3 to 5).

    u, x: [B, T, E]. In row t, entries before the current segment weigh the cache, the current segment's own entry
    weighs the memory being written, and later entries are 0. A row sums to 1, except for "residual", where every
    visible entry is 1. Arguments are those of `gated_residual_memory`, which checks them.
    Source: Behrouz et al., Memory Caching (2026), equations 8 to 10. Used by chapter 08.
    """
    cached = 0 if initial_state is None else initial_state.segments
    filled = 0 if initial_state is None else initial_state.filled
    own = cached + (filled + torch.arange(x.shape[1], device=x.device)) // segment
    seen = torch.arange(cached + segments_touched(x.shape[1], segment, filled), device=x.device)
    visible = seen <= own[:, None]
    if aggregate == "residual":
        return visible.to(x.dtype).expand(x.shape[0], -1, -1)
    means, running = segment_means(x, segment, initial_state)
    current = seen == own[:, None]
    scores = torch.where(current, (u * running).sum(-1, keepdim=True), u @ means.mT)
    scores = scores.masked_fill(~visible, -torch.inf)
    if aggregate == "sparse":
        scores = scores.masked_fill(~(current | strongest(scores.masked_fill(current, -torch.inf), top_k)), -torch.inf)
    return scores.softmax(-1)


def segments_touched(time: int, segment: int, filled: int) -> int:
    """Segments that a call of `time` tokens writes to, the first of them begun with `filled` tokens."""
    return -(-(filled + time) // segment)


def strongest(scores: Tensor, top_k: int) -> Tensor:
    """Where the top_k largest of scores [B, T, L] stand; masked entries among them are masked already."""
    picked = torch.zeros_like(scores, dtype=torch.bool)
    return picked.scatter(-1, scores.topk(min(top_k, scores.shape[-1]), dim=-1).indices, True)


def segment_means(x: Tensor, segment: int, state: MemoryState | None) -> tuple[Tensor, Tensor]:
    """Mean of x over each segment touched so far [B, L, E], and its running mean in the current one [B, T, E].

    The mean of a last, unfinished segment takes the missing tokens as zeros; nothing can see it yet.
    """
    filled = 0 if state is None else state.filled
    sums = fold(x, segment, filled).cumsum(2)
    if state is not None:
        sums = torch.cat((sums[:, :1] + state.x_sum[:, None, None], sums[:, 1:]), dim=1)
    counts = torch.arange(1, segment + 1, device=x.device, dtype=x.dtype)
    running = unfold(sums / counts[:, None], x.shape[1], filled)
    means = sums[:, :, -1] / segment
    return (means if state is None else torch.cat((state.cached_mean, means), dim=1)), running


def fold(x: Tensor, segment: int, filled: int) -> Tensor:
    """[B, T, ...] -> [B, N, segment, ...]: zeros for the tokens that came before the call and for those to come."""
    after = -(filled + x.shape[1]) % segment
    return F.pad(x, (0, 0) * (x.dim() - 2) + (filled, after)).unflatten(1, (-1, segment))


def unfold(x: Tensor, time: int, filled: int) -> Tensor:
    """The inverse of `fold`: [B, N, segment, ...] -> [B, T, ...]."""
    return x.flatten(1, 2)[:, filled : filled + time]
