"""A few real training steps of a large preset on an accelerator: how fast, how much memory, does it fit.

The tokens are uniform noise, since neither speed nor memory depends on what they say; the loss must fall from ln V all
the same, because the frequencies of pads and places can be learned. Chapter 07, the full run.
"""

from __future__ import annotations

import time

import torch

from lib.errors import BookError
from lib.models.hybrid import HybridDecoder
from lib.models.hybrid_config import HybridConfig
from lib.trainers.codebook_loss import loss_sums
from lib.trainers.optimiser import adamw


def take_steps(
    config: HybridConfig, *, steps: int, batch: int, length: int, device: str = "cuda", rate: float = 2e-4
) -> dict[str, float]:
    """Train on random codes for some steps after one that is not timed.

    Returns positions a second, the largest memory in GiB (0 on a CPU), the first and the last loss in nats.
    Raises BookError for fewer than one step or a device that is not there.
    """
    if steps < 1:
        raise BookError(f"steps={steps}; take at least one")
    if device == "cuda" and not torch.cuda.is_available():
        raise BookError("no GPU is at hand; run this where there is one, or set preset_steps=0")
    generator = torch.Generator().manual_seed(0)
    model = HybridDecoder(config, generator).to(device).train()
    optimiser = adamw(model, betas=(0.9, 0.95), weight_decay=0.01, decay="matrices")
    for group in optimiser.param_groups:
        group["lr"] = rate
    losses, started = [], 0.0
    for step in range(steps + 1):
        if step == 1:
            started = time.perf_counter()
        codes = torch.randint(
            0, config.pad or config.vocabulary, (batch, config.codebooks, length + 1), generator=generator
        )
        codes = codes.to(device)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            sums = loss_sums(model(codes[:, :, :-1]), codes[:, :, 1:], config.pad)
        loss = sums.nll.sum() / sums.count.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses.append(loss.item())  # waits for the device, so the clock is honest
    seconds = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0
    return {
        "positions_per_s": steps * batch * length / seconds,
        "peak_gib": peak,
        "first": losses[0],
        "last": losses[-1],
    }
