"""The delay pattern: codebook k is shifted right by k steps, so that one step predicts all codebooks in parallel.

With pad written `.`, three codebooks of four frames become a staircase of six steps:

    a0 a1 a2 a3 .  .
    .  b0 b1 b2 b3 .
    .  .  c0 c1 c2 c3
"""

from __future__ import annotations

import torch
from torch import Tensor

from lib.errors import BookError


def apply_delay(codes: Tensor, pad: int) -> Tensor:
    """Codes [..., K, T] -> delayed steps [..., K, T + K - 1], with pad outside the staircase.

    Raises BookError when there is no frame, or when pad is one of the codes, since the two could not be told apart.
    Source: Copet et al., Simple and Controllable Music Generation (2023), section 2.2. Used by chapters 07 to 10.
    """
    codebooks, frames = codes.shape[-2:]
    if frames == 0:
        raise BookError(f"codes have shape {list(codes.shape)}; the delay pattern needs at least one frame")
    if bool((codes == pad).any()):
        raise BookError(f"the codes hold {pad}, the pad token; choose a pad outside the codes")
    delayed = codes.new_full((*codes.shape[:-1], frames + codebooks - 1), pad)
    for k in range(codebooks):
        delayed[..., k, k : k + frames] = codes[..., k, :]
    return delayed


def undo_delay(delayed: Tensor) -> Tensor:
    """Delayed steps [..., K, S] -> codes [..., K, S - K + 1]; what lies outside the staircase is dropped.

    Raises BookError when the steps are too few to hold one whole frame.
    """
    codebooks, steps = delayed.shape[-2:]
    frames = steps - codebooks + 1
    if frames < 1:
        raise BookError(f"{steps} delayed steps of {codebooks} codebooks hold no whole frame; {codebooks} is the least")
    return torch.stack([delayed[..., k, k : k + frames] for k in range(codebooks)], dim=-2)


def staircase(codebooks: int, frames: int) -> Tensor:
    """Which entries [K, T + K - 1] of the delayed steps hold a code: k <= step < k + frames."""
    offset = torch.arange(frames + codebooks - 1) - torch.arange(codebooks)[:, None]
    return (offset >= 0) & (offset < frames)
