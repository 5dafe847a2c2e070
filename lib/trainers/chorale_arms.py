"""The memory-caching study on chorales: one base setting, and what each arm changes in it, one factor at a time.

Arms and pairs have the names and the meaning that they have on recall, in `memory_arms`; the levels of a factor lie
around this base. Source of the factors: the post's own list of what changed at once. Used by chapter 08.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from lib.errors import BookError
from lib.models.cached_memory import CachedMemoryConfig, CachedMemoryDecoder
from lib.trainers import memory_arms
from lib.trainers.language_model import TrainingConfig, evaluate, train
from lib.trainers.memory_arms import NO_MEMORY, Arm

BASE = replace(memory_arms.BASE, codebooks=4, width=64, layers=2, heads=8, segment=16, max_positions=256)
"""A segment is a bar of four quarters; both layers have a cache."""
SHARED = ("equal_parameters", "base", "released", "bias_-2", "bias_+2", "ssm", "ssm_state", "ssm_output")
ARMS = {name: memory_arms.ARMS[name] for name in SHARED} | {
    "rate_1e-3": Arm("rate", {}, {"peak_lr": 1e-3}),
    "rate_1e-2": Arm("rate", {}, {"peak_lr": 1e-2}),
    "segment_8": Arm("segment", {"segment": 8}),
    "segment_32": Arm("segment", {"segment": 32}),
    "width_32": Arm("width", {"width": 32}),
    "width_128": Arm("width", {"width": 128}),
    "width_32_equal_parameters": Arm("width", NO_MEMORY | {"width": 32, "key_size": 6}),
    "width_128_equal_parameters": Arm("width", NO_MEMORY | {"width": 128, "key_size": 24}),
    "data_64": Arm("data", {}, {"items": 64}),
    "data_64_equal_parameters": Arm("data", NO_MEMORY, {"items": 64}),
    "batch_4": Arm("batch", {}, {"batch": 4}),
    "batch_16": Arm("batch", {}, {"batch": 16}),
    "late": Arm("start", {"start_layer": 1}),
}
"""`items`: how many of the windows are trained on; without it, all."""
STUDIES = {
    "wiring": ("equal_parameters", "released"),
    "few": ("equal_parameters", "base", "released"),
    "all": tuple(ARMS),
}
"""Arms by the size of the study."""
FORM_PAIRS = {
    "cache": ("base", "equal_parameters"),
    "released": ("released", "equal_parameters"),
    "state": ("ssm_state", "ssm"),
    "proxy": ("ssm_output", "ssm_state"),
}
FACTOR_PAIRS = {
    "low_bias": ("bias_-2", "base"),
    "high_bias": ("bias_+2", "base"),
    "low_rate": ("rate_1e-3", "base"),
    "high_rate": ("rate_1e-2", "base"),
    "short_segments": ("segment_8", "base"),
    "long_segments": ("segment_32", "base"),
    "narrow": ("width_32", "width_32_equal_parameters"),
    "wide": ("width_128", "width_128_equal_parameters"),
    "small_width": ("width_32", "base"),
    "width": ("width_128", "base"),
    "data": ("data_64", "base"),
    "few_data": ("data_64", "data_64_equal_parameters"),
    "small_batch": ("batch_4", "base"),
    "batch": ("batch_16", "base"),
    "late": ("late", "base"),
}
"""Comparisons that answer a question: the first arm against the second, seed by seed."""


def chorale_model(name: str, seed: int, vocabulary: int) -> CachedMemoryDecoder:
    """The untrained model of an arm; raises BookError for one that the study does not have."""
    if name not in ARMS:
        raise BookError(f"arm={name!r} is not in the study on chorales; it has {', '.join(ARMS)}")
    config: CachedMemoryConfig = replace(BASE, vocabulary=vocabulary, **ARMS[name].model)
    return CachedMemoryDecoder(config, torch.Generator().manual_seed(seed))


def run_chorales(
    name: str, items: list, held_out: list, seed: int, *, pad: int, vocabulary: int, updates: int
) -> tuple[CachedMemoryDecoder, list[float], float]:
    """Train an arm, items [4, T] under the delay pattern, with one seed.

    Returns the model, the gradient norm of every update before clipping, and the held-out loss in nats a token.
    """
    model = chorale_model(name, seed, vocabulary)
    changed = dict(ARMS[name].training)
    items = items[: changed.pop("items", None)]
    training = chorale_training(pad, updates, **changed)
    run = train(model, items, training, generator=np.random.default_rng(seed))
    return model, [record["grad_norm"] for record in run.history], chorale_loss(model, held_out, pad)


def chorale_training(pad: int, updates: int, *, peak_lr: float = 3e-3, batch: int = 8) -> TrainingConfig:
    """How an arm is trained: a short warmup, then a cosine to a tenth of the rate."""
    return TrainingConfig(
        steps=updates,
        batch=batch,
        pad=pad,
        smoothing=0.0,
        peak_lr=peak_lr,
        floor_lr=peak_lr / 10,
        warmup=min(20, updates),
        log_every=1,
        eval_batches=None,
    )


def chorale_loss(model: torch.nn.Module, held_out: list, pad: int) -> float:
    """Loss on held-out items, in nats a token."""
    return evaluate(model, held_out, chorale_training(pad, 1)).nll
