"""Gated residual memory as it is written on paper, one token at a time. `parallel.py` is held against it."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.kernels.memory.state import EPS, MemoryState


def naive_gated_residual_memory(
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
    """A loop over tokens (README equations 1 to 7); autograd supplies the gradients.

    q, k [B, T, H, K], feature-mapped; v [B, T, H, V]; u, x [B, T, E]; all of one dtype; T >= 1.
    Returns o [B, T, H, V] and the state after the last token.

    Source: Behrouz et al., Memory Caching (2026), equations 2 and 8 to 10. Used by chapter 08.
    """
    cache = list(zip(*(part.unbind(1) for part in (state.cached, state.cached_sum, state.cached_mean)), strict=True))
    memory, total, x_sum, filled = state.online, state.online_sum, state.x_sum, state.filled
    outputs = []
    for q_t, k_t, v_t, u_t, x_t in zip(*(part.unbind(1) for part in (q, k, v, u, x)), strict=True):
        memory = memory + k_t[..., :, None] * v_t[..., None, :]
        total = total + k_t
        x_sum, filled = x_sum + x_t, filled + 1
        held = [*cache, (memory, total, x_sum / filled)]
        gates = token_gates(torch.stack([(u_t * mean).sum(-1) for _, _, mean in held], dim=-1), aggregate, top_k)
        outputs.append(read(q_t, held, gates, soup=aggregate == "soup", normalise=normalise))
        if filled == segment:
            cache.append((memory, total, x_sum / segment))
            x_sum, filled = torch.zeros_like(x_sum), 0
            if mode == "independent":
                memory, total = torch.zeros_like(memory), torch.zeros_like(total)
    if cache:
        cached = [torch.stack(part, dim=1) for part in zip(*cache, strict=True)]
    else:
        cached = [state.cached, state.cached_sum, state.cached_mean]
    return torch.stack(outputs, dim=1), MemoryState(*cached, memory, total, x_sum, filled)


def token_gates(scores: Tensor, aggregate: str, top_k: int | None) -> Tensor:
    """Scores [B, n] of the cached segments and, last, of the current one -> gates [B, n]."""
    if aggregate == "residual":
        return torch.ones_like(scores)
    if aggregate == "sparse" and scores.shape[-1] - 1 > top_k:
        kept = scores[:, :-1].topk(top_k, dim=-1).indices
        kept = torch.cat((kept, torch.full_like(kept[:, :1], scores.shape[-1] - 1)), dim=-1)
        scores = torch.full_like(scores, -torch.inf).scatter(-1, kept, scores.gather(-1, kept))
    return scores.softmax(-1)


def read(q: Tensor, held: list[tuple[Tensor, Tensor, Tensor]], gates: Tensor, soup: bool, normalise: bool) -> Tensor:
    """What the memories held answer to q [B, H, K], weighed by gates [B, n] -> [B, H, V]."""
    answers, sums = [], []
    for (memory, total, _), gate in zip(held, gates.unbind(-1), strict=True):
        answer = torch.einsum("bhk,bhkv->bhv", q, memory)
        z = torch.einsum("bhk,bhk->bh", q, total)[..., None]
        if normalise and not soup:
            answer = answer / z.clamp_min(EPS)
        answers.append(gate[:, None, None] * answer)
        sums.append(gate[:, None, None] * z)
    return sum(answers) / sum(sums).clamp_min(EPS) if normalise and soup else sum(answers)
