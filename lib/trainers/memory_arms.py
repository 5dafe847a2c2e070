"""The arms of the memory-caching study: one base setting, and what each arm changes in it, one factor at a time.

An arm is a name and the fields that differ; everything else is the base's. `run_arm` trains one arm with one seed.
The base was set before the study from trials with seed 0: it is the cheapest setting in which gates learned anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from lib.errors import BookError
from lib.models.cached_memory import CachedMemoryConfig, CachedMemoryDecoder
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
TRAINING = RecallTraining(steps=300, batch=16, peak_lr=1e-2, warmup=20, record_every=50)
NO_MEMORY = {"cache": "none", "key_size": 12}
"""As many parameters as the base but for its bias: what W_u has, d squared, goes into longer keys."""


@dataclass(frozen=True)
class Arm:
    """What an arm changes: fields of the model's config, and of the training's."""

    factor: str
    model: dict = field(default_factory=dict)
    training: dict = field(default_factory=dict)


DEEP = {"layers": 2}
RELEASED = {"cache": "released", "mode": "checkpoint", "gate_bias": None}
SSM = {"mixer": "selective_ssm", "mode": "checkpoint", "state_size": 16}
SLOWER = {"peak_lr": 3e-3}
ARMS = {
    "base": Arm("form"),
    "checkpoint": Arm("form", {"mode": "checkpoint"}),
    "sparse": Arm("form", {"aggregate": "sparse", "top_k": 1}),
    "soup": Arm("form", {"aggregate": "soup"}),
    "residual": Arm("form", {"aggregate": "residual"}),
    "released": Arm("form", RELEASED),
    "released_divided": Arm("form", RELEASED | {"normalise": True}),
    "no_memory": Arm("control", {"cache": "none"}),
    "equal_parameters": Arm("control", NO_MEMORY),
    "equal_state": Arm("control", {"cache": "none", "key_size": 64}),
    "uniform_gates": Arm("control", {"gates": "uniform"}),
    "random_selection": Arm("control", {}, {"gates": "random"}),
    "oracle": Arm("control", {}, {"gates": "oracle"}),
    "bias_-4": Arm("bias", {"gate_bias": -4.0}),
    "bias_-2": Arm("bias", {"gate_bias": -2.0}),
    "bias_+2": Arm("bias", {"gate_bias": 2.0}),
    "rate_3e-3": Arm("rate", {}, {"peak_lr": 3e-3}),
    "rate_3e-2": Arm("rate", {}, {"peak_lr": 3e-2}),
    "bias_-2_rate_3e-3": Arm("rate", {"gate_bias": -2.0}, {"peak_lr": 3e-3}),
    "segment_3": Arm("segment", {"segment": 3}),
    "segment_12": Arm("segment", {"segment": 12}),
    "width_16": Arm("width", {"width": 16}),
    "width_64": Arm("width", {"width": 64}),
    "width_16_equal_parameters": Arm("width", NO_MEMORY | {"width": 16, "key_size": 6}),
    "width_64_equal_parameters": Arm("width", NO_MEMORY | {"width": 64, "key_size": 24}),
    "data_256": Arm("data", {}, {"sequences": 256}),
    "data_256_equal_parameters": Arm("data", NO_MEMORY, {"sequences": 256}),
    "data_1024": Arm("data", {}, {"sequences": 1024}),
    "batch_8": Arm("batch", {}, {"batch": 8}),
    "batch_32": Arm("batch", {}, {"batch": 32}),
    "two_layers": Arm("start", DEEP),
    "two_layers_late": Arm("start", DEEP | {"start_layer": 1}),
    "two_layers_equal_parameters": Arm("start", NO_MEMORY | DEEP),
    "two_layers_released": Arm("depth", DEEP | RELEASED),
    "two_layers_released_divided": Arm("depth", DEEP | RELEASED | {"normalise": True}),
    "ssm": Arm("ssm", SSM | {"cache": "none"}, SLOWER),
    "ssm_state": Arm("ssm", SSM, SLOWER),
    "ssm_output": Arm("ssm", SSM | {"cache": "released"}, SLOWER),
}

STUDIES = {
    "wiring": ("base", "equal_parameters", "bias_-2", "two_layers_released"),
    "few": (
        "base",
        "equal_parameters",
        "random_selection",
        "oracle",
        "bias_-2",
        "two_layers_released",
        "two_layers_released_divided",
    ),
    "all": tuple(name for name, one in ARMS.items() if one.factor != "ssm"),
}
"""Arms by the size of the study; selective SSMs learned nothing on recall in trials; only `chorale_arms` has them."""
PAIRS = {
    "cache": ("base", "equal_parameters"),
    "state": ("base", "equal_state"),
    "selection": ("base", "random_selection"),
    "choice": ("base", "uniform_gates"),
    "uniform": ("uniform_gates", "no_memory"),
    "oracle": ("oracle", "base"),
    "soup": ("soup", "base"),
    "residual": ("residual", "base"),
    "sparse": ("sparse", "base"),
    "carried": ("checkpoint", "equal_parameters"),
    "released": ("released", "equal_parameters"),
    "stream": ("released_divided", "checkpoint"),
    "lowest_bias": ("bias_-4", "base"),
    "low_bias": ("bias_-2", "base"),
    "high_bias": ("bias_+2", "base"),
    "low_rate": ("rate_3e-3", "base"),
    "high_rate": ("rate_3e-2", "base"),
    "low_rate_low_bias": ("bias_-2_rate_3e-3", "bias_-2"),
    "short_segments": ("segment_3", "base"),
    "long_segments": ("segment_12", "base"),
    "narrow": ("width_16", "width_16_equal_parameters"),
    "wide": ("width_64", "width_64_equal_parameters"),
    "small_width": ("width_16", "base"),
    "width": ("width_64", "base"),
    "data": ("data_256", "base"),
    "more_data": ("data_1024", "base"),
    "few_data": ("data_256", "data_256_equal_parameters"),
    "small_batch": ("batch_8", "base"),
    "batch": ("batch_32", "base"),
    "deep": ("two_layers", "two_layers_equal_parameters"),
    "late": ("two_layers_late", "two_layers"),
}
"""Comparisons that answer a question: the first arm against the second, seed by seed."""


def started(bias: float, rate: float) -> Arm:
    """The base with another start of the gates' bias and another learning rate: a cell of the sweep over both."""
    return Arm("grid", {"gate_bias": bias}, {"peak_lr": rate})


def arm(name: str | Arm) -> Arm:
    """An arm by name; raises BookError for one that the study does not have. An arm comes back as it is."""
    if isinstance(name, Arm):
        return name
    if name not in ARMS:
        raise BookError(f"arm={name!r} is not in the study; it has {', '.join(ARMS)}")
    return ARMS[name]


def model_of(name: str | Arm, generator: torch.Generator | None = None) -> CachedMemoryDecoder:
    """The untrained model of an arm."""
    return CachedMemoryDecoder(replace(BASE, **arm(name).model), generator)


def run_arm(
    name: str | Arm,
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
