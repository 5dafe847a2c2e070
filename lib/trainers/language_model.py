"""Train and evaluate a model that predicts the next step of K parallel codebooks.

A model here is anything with `model(inputs [B, K, T], lengths, **context) -> logits [B, K, T, V]`. What was left out
of the posts' trainer: validation that weighs batches rather than tokens, padding to a fixed context, an average that
cannot be debiased, resumption without random state or data position, and pickled checkpoints.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from lib.errors import BookError
from lib.trainers.batching import Batch, Batches, collate
from lib.trainers.checkpoint import CheckpointStore
from lib.trainers.codebook_loss import Evaluation, Tally, hits, loss_sums
from lib.trainers.devices import ManyDevices, OneDevice
from lib.trainers.ema import EMA
from lib.trainers.optimiser import adamw, warmup_cosine
from lib.trainers.resume import RunState, own_randomness

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. The defaults are the speech post's, except where a field says otherwise."""

    steps: int
    """Updates to make."""
    schedule_steps: int | None = None
    """Updates until the learning rate reaches its floor; None: `steps`. The post's pilot stopped at 1,800 of 12,000."""
    batch: int = 24
    """Items per update, over all processes and micro-batches."""
    accumulate: int = 1
    """Micro-batches per update and process."""
    bucketed: bool = False
    """Items of like length share a batch; needs the frames of each item. The post padded all to 1,024 steps."""
    delay: bool = True
    """Apply the delay pattern to the items; without it they are steps already."""
    pad: int = 1024
    """The token that fills and is never a target."""
    smoothing: float = 0.1
    """Label smoothing of the loss that is trained."""
    peak_lr: float = 3e-4
    """Learning rate after warmup."""
    floor_lr: float = 1e-5
    """Learning rate at the end of the cosine."""
    warmup: int = 500
    """Updates of linear warmup."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay of AdamW's two moments."""
    weight_decay: float = 0.01
    """AdamW's decoupled weight decay."""
    decay: Literal["matrices", "all"] = "matrices"
    """What weight decay falls on; the post: "all"."""
    clip: float = 1.0
    """Largest norm of the gradient; larger ones are scaled to it."""
    ema: float = 0.999
    """Decay of the average of weights that is evaluated."""
    debias: bool = False
    """Debias that average; the post did not."""
    precision: Literal["fp32", "bf16", "auto"] = "auto"
    """bf16 runs the model under autocast; auto: bf16 on a GPU, fp32 elsewhere."""
    eval_every: int = 200
    """Updates between evaluations."""
    eval_batches: int | None = 50
    """Batches of an evaluation at most; None: the whole dataset."""
    save_every: int = 200
    """Updates between checkpoints."""
    log_every: int = 20
    """Updates between records of loss, learning rate and gradient norm."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "eval_every", "save_every", "log_every"):
            if getattr(self, name) < 1:
                raise BookError(f"{name}={getattr(self, name)}; it must be at least 1")
        if not 0 <= self.smoothing < 1:
            raise BookError(f"smoothing={self.smoothing}; it is a share in [0, 1)")
        if self.clip <= 0:
            raise BookError(f"clip={self.clip}; it must be above 0, math.inf for no clipping")
        if self.precision not in ("fp32", "bf16", "auto"):
            raise BookError(f"precision={self.precision!r}; use 'fp32', 'bf16' or 'auto'")


@dataclass
class Progress:
    """Where a run stands: what callbacks are given, and what `train` returns.

    history: one mapping per record, of kind "train" (loss, nll, lr, grad_norm, tokens) or "eval" (weights, and the
        fields of an Evaluation). A checkpoint keeps it.
    averages: the averages of weights by name; "ema" is the config's.
    """

    step: int
    model: nn.Module
    averages: dict[str, EMA]
    history: list[dict] = field(default_factory=list)


Callback = Callable[[Progress], bool | None]
"""Called after each new record or group of records; True stops the run after a last checkpoint."""


def train(
    model: nn.Module,
    dataset: Sequence[object],
    config: TrainingConfig,
    *,
    generator: np.random.Generator,
    validation: Sequence[object] | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoints: CheckpointStore | None = None,
    averages: Mapping[str, EMA] | None = None,
    devices: OneDevice | ManyDevices | None = None,
) -> Progress:
    """Train a model, from its newest checkpoint if there is one, and return where the run ended.

    dataset, validation: items as `lib.trainers.batching.collate` takes them. generator: decides the order of the data
    and seeds dropout; after a resume its saved state replaces it. averages: further averages to keep beside "ema".
    Evaluations are made with the live weights and with every average.
    A resumed run equals an uninterrupted one bit for bit, on the same machine and number of processes.
    Raises BookError for data that do not fill a batch, a checkpoint of another config, or a loss that is not finite.
    Source: the speech posts and their code. Used by chapters 07 to 10.
    """
    devices = devices or OneDevice()
    share = config.accumulate * devices.world
    if config.batch % share:
        parts = f"{config.accumulate} micro-batches x {devices.world} processes"
        raise BookError(f"batch={config.batch} does not divide into {parts}; make it a multiple of {share}")
    wrapped = devices.wrap(model).train()
    optimiser = adamw(model, betas=config.betas, weight_decay=config.weight_decay, decay=config.decay)
    run = Progress(0, model, {"ema": EMA(model, config.ema, debias=config.debias), **(averages or {})})
    with own_randomness(devices, seed=int(generator.integers(2**62))):
        batches = Batches(len(dataset), config.batch, generator, frames(dataset) if config.bucketed else None)
        state = RunState(run, optimiser, batches, devices, settings(config, len(dataset), devices.world))
        if checkpoints is not None:
            state.load(checkpoints)
        while run.step < config.steps:
            run.step += 1
            rows = np.split(batches.next(), share)[devices.rank :: devices.world]
            set_rate(optimiser, rate(run.step, config))
            measured = update(wrapped, [load(dataset, part, config) for part in rows], config, optimiser, devices)
            for average in run.averages.values():
                average.update(model)
            log_due, eval_due, save_due = (due(run.step, every, config) for every in ("log", "eval", "save"))
            if log_due or save_due:
                record = finite(measured, run.step)
            if log_due:
                run.history.append({"kind": "train", "step": run.step, "lr": rate(run.step, config), **record})
            if eval_due and validation is not None:
                run.history += evaluate_all(run, validation, config, devices)
            answers = [callback(run) for callback in callbacks] if log_due or eval_due else []
            stop = any(answers)
            if checkpoints is not None and (save_due or stop):
                state.save(checkpoints)
            if stop:
                break
    return run


def evaluate(
    model: nn.Module,
    dataset: Sequence[object],
    config: TrainingConfig,
    *,
    devices: OneDevice | ManyDevices | None = None,
) -> Evaluation:
    """Score a model on a dataset, in order, without dropout; processes share the batches and agree on the result.

    Uses the batch, eval_batches, delay, pad, smoothing and precision of the config; a last part batch counts too.
    Raises BookError for an empty dataset.
    """
    if len(dataset) == 0:
        raise BookError("the evaluation set is empty; give at least one item")
    devices = devices or OneDevice()
    parts = [range(i, min(i + config.batch, len(dataset))) for i in range(0, len(dataset), config.batch)]
    tally = Tally(load(dataset, [0], config).targets.shape[1], config.smoothing)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        for part in parts[: config.eval_batches][devices.rank :: devices.world]:
            batch = load(dataset, part, config).to(devices.device)
            logits = predict(model, batch, config)
            tally.add(loss_sums(logits, batch.targets, config.pad), hits(logits, batch.targets, config.pad))
    model.train(was_training)
    tally.row = devices.total(tally.row).cpu()
    return tally.result()


def evaluate_all(
    run: Progress, validation: Sequence[object], config: TrainingConfig, devices: OneDevice | ManyDevices
) -> list[dict]:
    """One record for the live weights and one for each average."""
    records = []
    for name in ("live", *run.averages):
        with nullcontext() if name == "live" else run.averages[name].applied(run.model):
            score = evaluate(run.model, validation, config, devices=devices)
        figures = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(score).items()}
        records.append({"kind": "eval", "step": run.step, "weights": name, **figures})
        log.info("step %d: %s weights have nll %.4f (smoothed %.4f)", run.step, name, score.nll, score.smoothed)
    return records


def update(
    wrapped: nn.Module,
    micro_batches: Sequence[Batch],
    config: TrainingConfig,
    optimiser: torch.optim.Optimizer,
    devices: OneDevice | ManyDevices,
) -> dict[str, Tensor]:
    """One update; returns its mean smoothed loss and NLL, the gradient's norm before clipping, and its targets."""
    micro_batches = [batch.to(devices.device) for batch in micro_batches]
    targets = devices.total(sum((batch.targets != config.pad).sum() for batch in micro_batches))
    means = torch.zeros(2, device=devices.device)
    for batch in micro_batches:
        with nullcontext() if batch is micro_batches[-1] else devices.gradients_stay(wrapped):
            sums = loss_sums(predict(wrapped, batch, config), batch.targets, config.pad)
            loss = sums.smoothed(config.smoothing).sum() / targets
            devices.backward(loss)
        means += torch.stack((loss.detach(), sums.nll.detach().sum() / targets))
    norm = nn.utils.clip_grad_norm_(wrapped.parameters(), config.clip)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    loss, nll = devices.total(means)
    return {"loss": loss, "nll": nll, "grad_norm": norm, "tokens": targets}


def predict(model: nn.Module, batch: Batch, config: TrainingConfig) -> Tensor:
    """Logits [B, K, T, V] of a batch, under bf16 autocast where the config asks for it."""
    device = batch.inputs.device.type
    bf16 = config.precision == "bf16" or (config.precision == "auto" and device == "cuda")
    with torch.autocast(device, torch.bfloat16, enabled=bf16):
        return model(batch.inputs, batch.lengths, **batch.context)


def load(dataset: Sequence[object], rows: Iterable[int], config: TrainingConfig) -> Batch:
    """The batch of these items."""
    return collate([dataset[int(row)] for row in rows], pad=config.pad, delay=config.delay)


def frames(dataset: Sequence[object]) -> list[int]:
    """Frames of each item; reads every item once."""
    items = (dataset[i] for i in range(len(dataset)))
    return [np.shape(item["codes"] if isinstance(item, Mapping) else item)[-1] for item in items]


def rate(step: int, config: TrainingConfig) -> float:
    """Learning rate of update `step`, counted from 1: the schedule after step - 1 steps, as in the post's log."""
    total = config.schedule_steps or config.steps
    return warmup_cosine(step - 1, peak=config.peak_lr, floor=config.floor_lr, warmup=config.warmup, total=total)


def set_rate(optimiser: torch.optim.Optimizer, value: float) -> None:
    """Give all groups of an optimiser a learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = value


def due(step: int, what: str, config: TrainingConfig) -> bool:
    """Whether `what`_every falls on this step; everything falls on the last."""
    return step % getattr(config, f"{what}_every") == 0 or step == config.steps


def finite(measured: Mapping[str, Tensor], step: int) -> dict[str, float]:
    """The measurements of an update as numbers. Raises BookError when loss or gradient is not finite."""
    record = {name: value.item() for name, value in measured.items()}
    for name in ("loss", "grad_norm"):
        if not math.isfinite(record[name]):
            raise BookError(
                f"{name} is {record[name]} at step {step}; lower peak_lr and start from the last checkpoint"
            )
    log.info("step %d: loss %.4f, gradient norm %.3g", step, record["loss"], record["grad_norm"])
    return record


def settings(config: TrainingConfig, items: int, world: int) -> dict[str, object]:
    """What must not change when a run is resumed: it would be another run."""
    free = ("steps", "eval_every", "eval_batches", "save_every", "log_every")
    fixed = {name: value for name, value in asdict(config).items() if name not in free}
    fixed["betas"] = list(config.betas)
    return {**fixed, "schedule_steps": config.schedule_steps or config.steps, "items": items, "processes": world}
