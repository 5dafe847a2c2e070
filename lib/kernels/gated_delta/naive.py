"""The gated delta rule as it is written on paper: one step at a time. The other implementations are held against it."""

from __future__ import annotations

import torch
from torch import Tensor


def naive_gated_delta_rule(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, scale: float, initial_state: Tensor
) -> tuple[Tensor, Tensor]:
    """Run the recurrence (README equation 1) with a loop over time; autograd supplies the gradients.

    q, k [B, T, H, K]; v [B, T, H, V]; g, beta [B, T, H]; initial_state [B, H, K, V]; all of one dtype; T >= 1.
    Returns o [B, T, H, V] and the final state [B, H, K, V].

    The sequences are unbound before the loop: indexing `q[:, t]` inside it would make the backward pass fill
    a full-size zero gradient per step, which is quadratic in T.

    Source: Yang, Kautz and Hatamizadeh, Gated Delta Networks (2024), equation 10. Used by chapters 07 to 10.
    """
    state = initial_state
    outputs = []
    for q_t, k_t, v_t, g_t, beta_t in zip(*(x.unbind(1) for x in (q, k, v, g, beta)), strict=True):
        write = beta_t[..., None] * k_t
        held = torch.einsum("bhk,bhkv->bhv", k_t, state)
        kept = state - write[..., :, None] * held[..., None, :]
        state = g_t.exp()[..., None, None] * kept + write[..., :, None] * v_t[..., None, :]
        outputs.append(scale * torch.einsum("bhk,bhkv->bhv", q_t, state))
    return torch.stack(outputs, dim=1), state
