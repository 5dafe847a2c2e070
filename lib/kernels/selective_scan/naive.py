"""The selective scan as it is written on paper: one step at a time. The other implementations are held against it."""

from __future__ import annotations

import torch
from torch import Tensor


def naive_selective_scan(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, initial_state: Tensor
) -> tuple[Tensor, Tensor]:
    """Run the recurrence (README equation 1) with a loop over time; autograd supplies the gradients.

    x, dt [B, T, E]; a [E, N]; b, c [B, T, N]; d [E]; initial_state [B, E, N]; all of one dtype; T >= 1.
    Returns y [B, T, E] and the final state [B, E, N].

    The sequences are unbound before the loop, for the reason given in the gated delta rule's naive twin.
    Source: Gu and Dao, Mamba (2023), section 3 and algorithm 2. Used by chapter 07.
    """
    state = initial_state
    outputs = []
    for x_t, dt_t, b_t, c_t in zip(*(s.unbind(1) for s in (x, dt, b, c)), strict=True):
        decay = (dt_t[..., None] * a).exp()
        state = decay * state + (dt_t * x_t)[..., None] * b_t[:, None, :]
        outputs.append((state * c_t[:, None, :]).sum(-1) + d * x_t)
    return torch.stack(outputs, dim=1), state
