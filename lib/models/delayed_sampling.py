"""Sampling codes from a decoder under the delay pattern, step by step with its state."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lib.errors import BookError
from lib.models.hybrid import HybridDecoder


@torch.no_grad()
def continue_codes(
    model: HybridDecoder,
    prompt: Tensor,
    frames: int,
    *,
    pad: int,
    generator: torch.Generator,
    temperature: float = 1.0,
    banned: Sequence[int] = (),
) -> Tensor:
    """Continue codes [B, K, P] to [B, K, frames]; the prompt comes back as it was.

    Codebook k of frame t is drawn at delayed step t + k, given everything at earlier delayed steps. At the last steps
    of the prompt its later codebooks lie ahead of the earliest unknown token; they are set, not drawn.
    pad, banned: tokens that are never drawn. temperature: above 0. generator: on the CPU.
    Raises BookError for an empty prompt, too few frames or a temperature that is not positive.
    Source: Copet et al., Simple and Controllable Music Generation (2023), section 2.2. Used by chapter 07.
    """
    batch, codebooks, given = prompt.shape
    if not 1 <= given <= frames:
        raise BookError(f"a prompt of {given} frames cannot be continued to {frames}; give 1 to {frames} frames")
    if temperature <= 0:
        raise BookError(f"temperature={temperature}; it must be above 0")
    steps = frames + codebooks - 1
    delayed = prompt.new_full((batch, codebooks, steps), pad)
    for k in range(codebooks):
        delayed[:, k, k : k + given] = prompt[:, k]
    barred = torch.tensor([pad, *banned])
    was_training = model.training
    model.eval()
    logits, state = model.prefill(delayed[:, :, :given])
    logits = logits[:, :, -1]
    for step in range(given, steps):
        for k in range(codebooks):
            if given <= step - k < frames:
                scores = logits[:, k].float() / temperature
                scores[:, barred] = -torch.inf
                delayed[:, k, step] = torch.multinomial(scores.softmax(-1), 1, generator=generator)[:, 0]
        if step + 1 < steps:
            logits, state = model.step(delayed[:, :, step], state)
    model.train(was_training)
    return torch.stack([delayed[:, k, k : k + frames] for k in range(codebooks)], dim=1)
