"""The selective scan in logarithmically many steps: pairs of affine maps are composed, then pairs of pairs.

A step is the map s -> p s + u. Two of them in a row are again one, (p2 p1, p2 u1 + u2), and that composition is
associative. So after k rounds every position holds the last 2^k steps as one map (README equation 2). All decays are
at most 1, so nothing grows. It needs log2(T) times the memory traffic of the loop, and no loop over time.
"""

from __future__ import annotations

import torch
from torch import Tensor


def parallel_selective_scan(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, initial_state: Tensor
) -> tuple[Tensor, Tensor]:
    """Run the scan by doubling, in plain torch on any device; autograd supplies the gradients.

    x, dt [B, T, E]; a [E, N]; b, c [B, T, N]; d [E]; initial_state [B, E, N]; all of one dtype; T >= 1.
    Returns y [B, T, E] and the final state [B, E, N]. Holds [B, T, E, N] numbers a few times over.
    Source: Blelloch, Prefix Sums and Their Applications (1990), section 1.4; Hillis and Steele (1986) for this order.
    """
    decay = (dt[..., None] * a).exp()
    state = (dt * x)[..., None] * b[:, :, None, :]
    state = torch.cat((state[:, :1] + decay[:, :1] * initial_state[:, None], state[:, 1:]), dim=1)
    reach, time = 1, x.shape[1]
    while reach < time:
        moved = state[:, reach:] + decay[:, reach:] * state[:, :-reach]
        state = torch.cat((state[:, :reach], moved), dim=1)
        if 2 * reach < time:
            decay = torch.cat((decay[:, :reach], decay[:, reach:] * decay[:, :-reach]), dim=1)
        reach *= 2
    return torch.einsum("bten,btn->bte", state, c) + d * x, state[:, -1]
