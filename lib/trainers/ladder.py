"""Train a rung of the ladder: next-token loss, AdamW, warm-up and a cosine, every sequence seen once.

Left out, because the runs are a few minutes long: checkpoints in between, mixed precision, several devices (see
`language_model.py` for those). Chapters 05 and 06.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from lib.errors import BookError
from lib.models import neox_ladder
from lib.models.neox_ladder import LadderConfig

if TYPE_CHECKING:
    from transformers import GPTNeoXForCausalLM


@dataclass(frozen=True)
class LadderTraining:
    """How a rung is trained. Raises BookError for values that make no training."""

    batch: int = 8
    """Sequences in an update; the number of updates is the number of sequences over this."""
    rate: float = 3e-3
    """Highest learning rate of AdamW."""
    warmup: float = 0.05
    """Share of the updates over which the rate rises; afterwards it falls along a cosine to a tenth."""
    decay: float = 0.1
    """Weight decay of matrices."""

    def __post_init__(self) -> None:
        if self.batch < 1 or not self.rate > 0 or not 0 <= self.warmup < 1 or self.decay < 0:
            raise BookError(f"{self}: batch and rate must be above 0, warmup from 0 to below 1, decay 0 or more")


def next_token_loss(logits: Tensor, sequences: Tensor) -> Tensor:
    """Mean cross-entropy in nats of logits [B, T, V] for the tokens that follow in sequences [B, T]."""
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), sequences[:, 1:].flatten())


def train_rung(model: GPTNeoXForCausalLM, sequences: Tensor, config: LadderTraining, seed: int) -> Tensor:
    """Train in place on sequences [N, T] int64, each once, in an order drawn from the seed; the losses [steps].

    The same seed at one thread gives the same bits. Raises BookError for fewer sequences than a batch.
    """
    steps = len(sequences) // config.batch
    if steps < 1:
        raise BookError(f"{len(sequences)} sequences make no batch of {config.batch}; give more")
    order = torch.randperm(len(sequences), generator=torch.Generator().manual_seed(seed))
    matrices = [weight for weight in model.parameters() if weight.ndim == 2]
    others = [weight for weight in model.parameters() if weight.ndim != 2]
    groups = [{"params": matrices, "weight_decay": config.decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=config.rate, betas=(0.9, 0.95), fused=True)
    losses = []
    model.train()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = config.rate * _share_of_rate(step, steps, config.warmup)
        batch = sequences[order[step * config.batch : (step + 1) * config.batch]]
        loss = next_token_loss(model(batch, use_cache=False).logits, batch)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.detach())
    model.eval()
    return torch.stack(losses)


def rung(
    shape: LadderConfig, sequences: Tensor, config: LadderTraining, seed: int, folder: Path | None = None
) -> GPTNeoXForCausalLM:
    """A trained rung, in half precision and back, as it would be loaded from its file.

    folder: where finished rungs are kept, under a name that depends on shape, training, seed and text; one found there
    is read instead of trained again.
    """
    key = repr((asdict(shape), asdict(config), seed)).encode() + sequences.numpy().tobytes()
    path = folder and folder / f"rung-{shape.width}-{seed}-{hashlib.sha256(key).hexdigest()[:12]}.safetensors"
    if path and path.is_file():
        return neox_ladder.load(path)
    model = neox_ladder.build(shape, seed)
    train_rung(model, sequences, config, seed)
    if path is None:
        with torch.no_grad():
            for weight in model.parameters():
                weight.copy_(weight.half().float())
        return model
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    neox_ladder.save(model, partial)
    partial.rename(path)
    return neox_ladder.load(path)


def _share_of_rate(step: int, steps: int, warmup: float) -> float:
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))
