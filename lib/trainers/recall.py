"""Train a decoder on a task that asks at some steps only, and keep what a study of its memory needs.

Left out on purpose: averages of weights, checkpoints and smoothing. A run is a minute long and is compared by seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.errors import BookError
from lib.trainers.optimiser import adamw, warmup_cosine

GATES = ("own", "oracle", "random")


@dataclass(frozen=True)
class RecallTraining:
    """How to train on recall. Raises BookError for values that train nothing."""

    steps: int = 800
    """Updates."""
    batch: int = 32
    """Sequences per update."""
    peak_lr: float = 3e-3
    """Learning rate after warmup; a cosine brings it to a tenth."""
    warmup: int = 50
    """Updates of linear warmup."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay, on matrices."""
    sequences: int | None = None
    """Sequences to train on, again and again; None: every batch is new."""
    record_every: int = 100
    """Updates between records."""
    gates: Literal["own", "oracle", "random"] = "own"
    """The model's gates; in their place, gates that read the segment of the answer; or one segment by lot."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "record_every"):
            if getattr(self, name) < 1:
                raise BookError(f"{name}={getattr(self, name)}; it must be at least 1")
        if self.sequences is not None and self.sequences < self.batch:
            raise BookError(f"sequences={self.sequences} with batch={self.batch}; give a batch's worth, or None")
        if self.gates not in GATES:
            raise BookError(f"gates={self.gates!r}; use one of {', '.join(GATES)}")


@dataclass
class RecallRun:
    """What training left behind.

    records: every `record_every` updates and at the end, `step`, `loss` (nats) and what `probe` returned.
    gradient_norms: of every update, before clipping.
    """

    records: list[dict] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)


def train_recall(
    model: nn.Module,
    task: object,
    config: RecallTraining,
    *,
    generator: torch.Generator,
    probe: Callable[[nn.Module], dict] = lambda model: {},
) -> RecallRun:
    """Train a model on a task with `draw(count, generator)`; see lib.datasets.recall.

    model: `hidden(tokens [B, 2, T], gates=)` and `logits`, as CachedMemoryDecoder has them; the logits of the second
    stream are scored.
    probe: called at every record. Returns the run; the model is left trained.
    Raises BookError when the loss is no longer a finite number. Used by chapter 08.
    """
    optimiser = adamw(model, betas=(0.9, 0.95), weight_decay=config.weight_decay, decay="matrices")
    run = RecallRun()
    stock = None if config.sequences is None else task.draw(config.sequences, generator)
    for step in range(1, config.steps + 1):
        if stock is None:
            batch = task.draw(config.batch, generator)
        else:
            batch = stock.take(torch.randint(config.sequences, (config.batch,), generator=generator))
        rate = warmup_cosine(
            step, peak=config.peak_lr, floor=config.peak_lr / 10, warmup=config.warmup, total=config.steps
        )
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = recall_loss(model, batch, chosen_gates(batch, config.gates, model.config.segment, generator))
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        run.gradient_norms.append(norm.item())
        if step % config.record_every == 0 or step == config.steps:
            if not math.isfinite(loss.item()):
                raise BookError(f"loss is {loss.item()} at step {step}; lower peak_lr={config.peak_lr}")
            run.records.append({"step": step, "loss": loss.item(), **probe(model)})
    return run


def chosen_gates(batch: object, gates: str, segment: int, generator: torch.Generator) -> Tensor | None:
    """The gates [B, T, N] that take the place of the model's, or None for its own."""
    if gates == "own":
        return None
    return batch.oracle(segment) if gates == "oracle" else batch.random(segment, generator)


def answer_logits(model: nn.Module, batch: object, gates: Tensor | None = None) -> Tensor:
    """Logits [n, V] of the second stream at the n steps that ask; gates [B, T, N] in place of the model's, or None."""
    return model.logits(model.hidden(batch.tokens, gates=gates)[batch.asked])[1]


def recall_loss(model: nn.Module, batch: object, gates: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of the answers, in nats."""
    return F.cross_entropy(answer_logits(model, batch, gates), batch.targets[batch.asked])


def recall_accuracy(model: nn.Module, batch: object, gates: Tensor | None = None) -> float:
    """Share of queries whose most probable value is the right one."""
    with torch.no_grad():
        found = answer_logits(model, batch, gates).argmax(-1)
    return (found == batch.targets[batch.asked]).double().mean().item()
