"""The arms of the memory-caching study: one base setting, and what each arm changes in it, one factor at a time.

An arm is a name and the fields that differ; everything else is the base's. `run_arm` trains one arm with one seed.
The base was set before the study from trials with seed 0: it is the cheapest setting in which gates learned anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import nn

from lib.errors import BookError
from lib.models.cached_memory import CachedMemoryConfig, CachedMemoryDecoder
from lib.trainers.language_model import TrainingConfig, evaluate, train
from lib.trainers.recall import RecallRun, RecallTraining, train_recall

BASE = CachedMemoryConfig(
    codebooks=2,
    vocabulary=48,
    width=32,
    layers=1,
    heads=4,
    cache="faithful",
    segment=6,
    mode="independent",
    gate_bias=0.0,
    max_positions=0,
    tied=False,
)
TRAINING = RecallTraining(steps=300, batch=16, peak_lr=1e-2, warmup=20)
NO_MEMORY = {"cache": "none", "key_size": 12}
"""As many parameters as the base but for its bias: what W_u has, d squared, goes into longer keys."""


@dataclass(frozen=True)
class Arm:
    """What an arm changes: fields of the model's config, and of the training's."""

    factor: str
    model: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)


DEEP = {"layers": 2}
RELEASED = {"cache": "released", "mode": "checkpoint"}
SSM = {"mixer": "selective_ssm", "mode": "checkpoint", "state_size": 16}
SLOWER = {"peak_lr": 3e-3}
ARMS = {
    "base": Arm("form"),
    "checkpoint": Arm("form", {"mode": "checkpoint"}),
    "residual": Arm("form", {"aggregate": "residual"}),
    "soup": Arm("form", {"aggregate": "soup"}),
    "sparse": Arm("form", {"aggregate": "sparse", "top_k": 1}),
    "released": Arm("form", RELEASED),
    "released, divided": Arm("form", RELEASED | {"normalise": True}),
    "no memory": Arm("control", {"cache": "none"}),
    "equal parameters": Arm("control", NO_MEMORY),
    "equal state": Arm("control", {"cache": "none", "key_size": 64}),
    "uniform gates": Arm("control", {"gates": "uniform"}),
    "frozen gates": Arm("control", {"gates": "frozen", "gate_gain": 20.0}),
    "random selection": Arm("control", {}, {"gates": "random"}),
    "oracle": Arm("control", {}, {"gates": "oracle"}),
    "bias -4": Arm("bias", {"gate_bias": -4.0}),
    "bias -2": Arm("bias", {"gate_bias": -2.0}),
    "bias +2": Arm("bias", {"gate_bias": 2.0}),
    "rate 1e-3": Arm("rate", {}, {"peak_lr": 1e-3}),
    "rate 3e-3": Arm("rate", {}, {"peak_lr": 3e-3}),
    "rate 3e-2": Arm("rate", {}, {"peak_lr": 3e-2}),
    "bias -2, rate 3e-3": Arm("rate", {"gate_bias": -2.0}, {"peak_lr": 3e-3}),
    "segment 3": Arm("segment", {"segment": 3}),
    "segment 12": Arm("segment", {"segment": 12}),
    "width 16": Arm("width", {"width": 16}),
    "width 64": Arm("width", {"width": 64}),
    "width 16, equal parameters": Arm("width", NO_MEMORY | {"width": 16, "key_size": 6}),
    "width 64, equal parameters": Arm("width", NO_MEMORY | {"width": 64, "key_size": 24}),
    "data 256": Arm("data", {}, {"sequences": 256}),
    "data 256, equal parameters": Arm("data", NO_MEMORY, {"sequences": 256}),
    "batch 8": Arm("batch", {}, {"batch": 8}),
    "batch 32": Arm("batch", {}, {"batch": 32}),
    "two layers": Arm("start", DEEP),
    "two layers, second caches": Arm("start", DEEP | {"start_layer": 1}),
    "two layers, equal parameters": Arm("start", NO_MEMORY | DEEP),
    "two layers, released": Arm("depth", DEEP | RELEASED),
    "two layers, released, divided": Arm("depth", DEEP | RELEASED | {"normalise": True}),
    "ssm": Arm("ssm", SSM | {"cache": "none"}, SLOWER),
    "ssm, state": Arm("ssm", SSM, SLOWER),
    "ssm, output": Arm("ssm", SSM | {"cache": "released"}, SLOWER),
}


def arm(name: str) -> Arm:
    """An arm by name; raises BookError for one that the study does not have."""
    if name not in ARMS:
        raise BookError(f"arm={name!r} is not in the study; it has {', '.join(ARMS)}")
    return ARMS[name]


def model_of(name: str, generator: torch.Generator | None = None) -> CachedMemoryDecoder:
    """The untrained model of an arm."""
    return CachedMemoryDecoder(replace(BASE, **arm(name).model), generator)


def run_arm(
    name: str,
    task: object,
    seed: int,
    *,
    updates: int = TRAINING.steps,
    probe: Callable[[nn.Module, str], dict] = lambda model, gates: {},
) -> tuple[CachedMemoryDecoder, RecallRun]:
    """Train an arm on a task with one seed, which decides weights and data.

    probe: called with the model and with which gates it is used at every record. Returns the model and its run.
    """
    config = replace(TRAINING, steps=updates, **arm(name).training)
    generator = torch.Generator().manual_seed(seed)
    model = model_of(name, generator)
    run = train_recall(model, task, config, generator=generator, probe=lambda trained: probe(trained, config.gates))
    return model, run


CHORALES = replace(BASE, codebooks=4, width=64, layers=2, heads=8, segment=16, max_positions=256)
"""The base for chorales: a segment is a bar of four quarters."""


def run_chorales(
    name: str, items: list, held_out: list, seed: int, *, pad: int, vocabulary: int, updates: int
) -> tuple[CachedMemoryDecoder, list[float], float]:
    """Train an arm on chorales, items [4, T] under the delay pattern, with one seed.

    Returns the model, the gradient norm of every update before clipping, and the held-out loss in nats a token.
    """
    config = replace(CHORALES, vocabulary=vocabulary, **arm(name).model)
    model = CachedMemoryDecoder(config, torch.Generator().manual_seed(seed))
    training = TrainingConfig(
        steps=updates,
        batch=8,
        pad=pad,
        smoothing=0.0,
        peak_lr=3e-3,
        floor_lr=3e-4,
        warmup=min(20, updates),
        log_every=1,
        eval_batches=None,
    )
    run = train(model, items, training, generator=np.random.default_rng(seed))
    return model, [record["grad_norm"] for record in run.history], evaluate(model, held_out, training).nll
