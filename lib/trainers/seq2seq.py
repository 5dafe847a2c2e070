"""Training of the sequence model: the masked loss, a CTC loss beside it if wanted, a signer vector, pretraining.

AdamW on a warmup and a half cosine, gradients clipped to norm 1. Batches are drawn from clips sorted by length, so that
little padding is computed. The same seed at one thread gives the same bits. Chapter 02.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.errors import BookError
from lib.models.isolated_letters import IsolatedLetters
from lib.models.layers import Linear
from lib.models.seq2seq import BOS, PAD, Seq2Seq
from lib.trainers.optimiser import adamw, warmup_cosine
from lib.trainers.sequence_loss import Rule, masked_cross_entropy

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Examples:
    """Clips and what they say; calibration clips of the same signers if there are any."""

    clips: Sequence[np.ndarray]
    """float32 [T, F] each."""
    tokens: Sequence[Sequence[int]]
    """Token ids of each clip, without BOS and PAD."""
    calibration: np.ndarray | None = None
    """float32 [N, C, F]."""

    def __post_init__(self) -> None:
        if not self.clips or len(self.clips) != len(self.tokens):
            raise BookError(f"{len(self.clips)} clips and {len(self.tokens)} token rows; give as many, at least one")

    @classmethod
    def of(cls, phrases: Sequence) -> Examples:
        """From phrases that have `inputs` [T, F] and `tokens`."""
        return cls([phrase.inputs for phrase in phrases], [phrase.tokens for phrase in phrases])


@dataclass(frozen=True)
class Schedule:
    """How long and how fast. Raises BookError for values that make no training."""

    steps: int = 1000
    """Updates."""
    batch: int = 32
    """Clips in an update."""
    peak: float = 2e-3
    """Highest learning rate, reached after `warmup` updates; a half cosine falls from it to a twentieth."""
    warmup: int = 50
    """Updates of rising rate."""
    rule: Rule = "first_pad"
    """Which pads are targets."""
    ctc: float = 0.0
    """Weight of the CTC loss: 0 is none, 1 is CTC alone."""

    def __post_init__(self) -> None:
        if min(self.steps, self.batch) < 1 or not self.peak > 0 or self.warmup < 0 or not 0 <= self.ctc <= 1:
            values = f"steps={self.steps}, batch={self.batch}, peak={self.peak}, warmup={self.warmup}, ctc={self.ctc}"
            raise BookError(f"{values}; steps and batch from 1, a rate above 0, warmup from 0, ctc from 0 to 1")


@dataclass(frozen=True)
class Trained:
    """A model and what came with it."""

    model: Seq2Seq
    losses: tuple[float, ...]
    """The loss of each update, in nats."""
    ctc_head: nn.Module | None = None
    """Memory [B, T, D] to labels [B, T, V], where CTC was trained; label 0 is the blank."""
    signer: nn.Module | None = None
    """Calibration clips to signer vectors, where one was trained."""


def padded(clips: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Clips as one batch: float32 [B, T, F] filled with zeros, and lengths int64 [B]."""
    lengths = torch.tensor([len(clip) for clip in clips])
    return nn.utils.rnn.pad_sequence([torch.from_numpy(clip) for clip in clips], batch_first=True), lengths


def targets_of(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Decoder inputs and targets, int64 [B, L + 1]: BOS and the row, the row and PAD; rows are filled with PAD."""
    longest = max(map(len, rows)) + 1
    targets = torch.tensor([[*row, *[PAD] * (longest - len(row))] for row in rows])
    return torch.cat([torch.full((len(rows), 1), BOS), targets[:, :-1]], dim=1), targets


def batches(lengths: Sequence[int], size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """One pass over clips in batches of similar length, the batches in random order."""
    order = np.lexsort((rng.random(len(lengths)), np.asarray(lengths) + rng.integers(0, 12, len(lengths))))
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    return [parts[place] for place in rng.permutation(len(parts))]


def train(
    model: Seq2Seq,
    examples: Examples,
    schedule: Schedule,
    seed: int,
    *,
    signer: nn.Module | None = None,
    watch: Callable[[int, Seq2Seq], None] | None = None,
    every: int = 0,
) -> Trained:
    """Train a model in place. seed: of batches, dropout and the CTC head. watch: called after each `every` updates.

    signer: a network from calibration clips to signer vectors, trained along. Raises BookError when it is given and the
    examples have no calibration clips. Chapter 02.
    """
    if signer is not None and examples.calibration is None:
        raise BookError("a signer network needs calibration clips; give Examples.calibration")
    rng = np.random.default_rng(seed)
    model.reseed(seed)
    head = None
    if schedule.ctc:
        head = Linear(model.config.width, model.config.vocabulary)
        head.initialise(torch.Generator().manual_seed(seed + 1))
    parts = nn.ModuleDict({n: p for n, p in (("model", model), ("head", head), ("signer", signer)) if p is not None})
    optimiser = adamw(parts, betas=(0.9, 0.98), weight_decay=0.01, decay="matrices")
    lengths, waiting, losses = [len(clip) for clip in examples.clips], [], []
    parts.train()
    for step in range(schedule.steps):
        waiting = waiting or batches(lengths, schedule.batch, rng)
        loss = _loss(model, head, signer, examples, waiting.pop(), schedule)
        _update(parts, optimiser, loss, step, schedule)
        losses.append(float(loss.detach()))
        if every and watch is not None and (step + 1) % every == 0:
            logger.info("update %d of %d: loss %.3f", step + 1, schedule.steps, np.mean(losses[-every:]))
            parts.eval()
            watch(step + 1, model)
            parts.train()
    parts.eval()
    return Trained(model, tuple(losses), head, signer)


def _loss(model, head, signer, examples: Examples, rows: np.ndarray, schedule: Schedule) -> Tensor:
    frames, lengths = padded([examples.clips[row] for row in rows])
    inputs, targets = targets_of([examples.tokens[row] for row in rows])
    who = None if signer is None else signer(torch.from_numpy(examples.calibration[rows]))
    memory = model.encode(frames, lengths, who)
    loss = frames.new_zeros(())
    if schedule.ctc < 1:
        logits, _ = model.decode(inputs, model.start(memory, lengths))
        loss = loss + (1 - schedule.ctc) * masked_cross_entropy(logits, targets, schedule.rule)
    if head is not None:
        counts = (targets != PAD).sum(1)
        scores = head(memory).log_softmax(-1).transpose(0, 1)
        loss = loss + schedule.ctc * F.ctc_loss(scores, targets, lengths, counts, blank=PAD, zero_infinity=True)
    return loss


def _update(parts: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor, step: int, schedule: Schedule) -> None:
    rate = warmup_cosine(
        step + 1, peak=schedule.peak, floor=schedule.peak / 20, warmup=schedule.warmup, total=schedule.steps
    )
    for group in optimiser.param_groups:
        group["lr"] = rate
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parts.parameters(), 1.0)
    optimiser.step()


def pretrain(model: Seq2Seq, clips: Sequence[np.ndarray], schedule: Schedule, seed: int, span: int = 4) -> Trained:
    """Teach the encoder to fill gaps in unlabelled clips, in place: the author's masked pretraining.

    About a third of each clip's frames, in runs of `span`, are set to 0; the loss is the mean squared error of those
    frames as a linear map reads them off the memory. Chapter 02.
    """
    rng = np.random.default_rng(seed)
    model.reseed(seed)
    head = Linear(model.config.width, model.config.inputs)
    head.initialise(torch.Generator().manual_seed(seed + 1))
    parts = nn.ModuleDict({"model": model, "head": head}).train()
    optimiser = adamw(parts, betas=(0.9, 0.98), weight_decay=0.01, decay="matrices")
    lengths, waiting, losses = [len(clip) for clip in clips], [], []
    for step in range(schedule.steps):
        waiting = waiting or batches(lengths, schedule.batch, rng)
        frames, counts = padded([clips[row] for row in waiting.pop()])
        gaps = gap_mask(counts.numpy(), frames.shape[1], span, rng)
        found = head(model.encode(frames.masked_fill(gaps[..., None], 0.0), counts))
        loss = (found - frames)[gaps].square().mean()
        _update(parts, optimiser, loss, step, schedule)
        losses.append(float(loss.detach()))
    parts.eval()
    return Trained(model, tuple(losses))


def gap_mask(lengths: np.ndarray, longest: int, span: int, rng: np.random.Generator) -> Tensor:
    """Where frames are hidden, bool [B, longest]: runs of `span` until a third of a clip is hidden; at least one frame,
    never beyond its end.
    """
    mask = np.zeros((len(lengths), longest), dtype=bool)
    for row, length in enumerate(lengths):
        while mask[row].sum() < max(1, length // 3):
            start = int(rng.integers(length))
            mask[row, start : min(start + span, length)] = True
    return torch.from_numpy(mask)


def train_windows(
    model: IsolatedLetters, windows: np.ndarray, labels: np.ndarray, seed: int, steps: int = 600, peak: float = 3e-3
) -> IsolatedLetters:
    """Train the isolated classifier in place on windows float32 [N, W, F] and labels [N]; returns it."""
    rng, schedule = np.random.default_rng(seed), Schedule(steps, 64, peak, 20)
    inputs, targets = torch.from_numpy(windows), torch.from_numpy(np.asarray(labels, dtype=np.int64))
    optimiser = adamw(model, betas=(0.9, 0.98), weight_decay=0.01, decay="matrices")
    model.train()
    for step in range(steps):
        rows = torch.from_numpy(rng.integers(len(windows), size=schedule.batch))
        _update(model, optimiser, F.cross_entropy(model(inputs[rows]), targets[rows]), step, schedule)
    return model.eval()
