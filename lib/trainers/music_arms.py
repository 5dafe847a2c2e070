"""The arms of the music comparison: decoders that differ in their mixers alone, matched in parameters, trained alike.

Chapter 07. The recipe is small where the post's is large; what is kept of it are the optimiser, its betas and decay,
the clipping, the warmup and cosine, and dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from lib.errors import BookError
from lib.models import HybridConfig, HybridDecoder, MemoryDecoder, SelectiveDecoder
from lib.models.chorale_tokens import PAD, VOCABULARY
from lib.trainers.codebook_loss import Evaluation
from lib.trainers.language_model import TrainingConfig, evaluate, train

FFN_STEP = 4
"""Matched feed-forward widths are multiples of this."""
NO_ATTENTION = {"attention_every": 0, "final_attention": False}
POCKET = HybridConfig(
    codebooks=4,
    vocabulary=VOCABULARY,
    pad=PAD,
    width=96,
    layers=4,
    heads=4,
    kv_heads=2,
    ffn_width=256,
    final_attention=False,
    mixer="gated_delta_simple",
)
"""The music model in small: one period of its 3:1 schedule, the mixer of its parameter count."""
ARMS = {
    "hybrid 3:1": (HybridDecoder, {}),
    "transformer": (HybridDecoder, {"attention_every": 1}),
    "gated delta": (HybridDecoder, NO_ATTENTION),
    "selective SSM": (SelectiveDecoder, NO_ATTENTION),
    "memory caching": (MemoryDecoder, NO_ATTENTION),
}
ABLATIONS = {
    "as planned": (HybridDecoder, {}),
    "attention every 2": (HybridDecoder, {"attention_every": 2}),
    "no positions": (HybridDecoder, {"positions": "none"}),
    "learned positions": (HybridDecoder, {"positions": "learned", "max_positions": 256}),
    "own keys for all heads": (HybridDecoder, {"kv_heads": 4}),
    "one key for all heads": (HybridDecoder, {"kv_heads": 1}),
    "feed-forward halved": (HybridDecoder, {"ffn_width": 128}),
    "feed-forward doubled": (HybridDecoder, {"ffn_width": 512}),
    "released mixer": (HybridDecoder, {"mixer": "gated_delta_net"}),
    "SSM hybrid 3:1": (SelectiveDecoder, {}),
}
"""One change each; the feed-forward width of the others is matched again, that of its own ablation is not."""


@dataclass(frozen=True)
class Trained:
    """A trained arm: the model, its parameters, its score on the held-out windows, and the NLL of others on the way."""

    model: HybridDecoder
    parameters: int
    score: Evaluation
    curve: dict[int, float]


def parameters(kind: type[HybridDecoder], config: HybridConfig) -> int:
    """All parameters of a decoder, counted on the meta device."""
    with torch.device("meta"):
        return kind(config).component_counts()["total"]


def matched(kind: type[HybridDecoder], config: HybridConfig, target: int) -> HybridConfig:
    """The config with the feed-forward width that brings the total nearest to target.

    Raises BookError when even the narrowest network has more.
    """
    least = parameters(kind, replace(config, ffn_width=FFN_STEP))
    each = parameters(kind, replace(config, ffn_width=2 * FFN_STEP)) - least
    steps = 1 + round((target - least) / each)
    if steps < 1:
        raise BookError(f"{least} parameters at ffn_width={FFN_STEP} are more than {target}; give a larger target")
    return replace(config, ffn_width=steps * FFN_STEP)


def build(name: str, generator: torch.Generator, base: HybridConfig = POCKET) -> HybridDecoder:
    """An untrained arm or ablation by name. Raises BookError for a name that is neither."""
    known = ARMS | ABLATIONS
    if name not in known:
        raise BookError(f"{name!r} is no arm; use one of {', '.join(known)}")
    kind, changes = known[name]
    config = replace(base, **changes)
    if "ffn_width" not in changes:
        config = matched(kind, config, parameters(HybridDecoder, base))
    return kind(config, generator)


def recipe(steps: int, **changes: object) -> TrainingConfig:
    """The training of every arm; learning rate and batch were set before any comparison was made."""
    plan = {
        "batch": 8,
        "peak_lr": 3e-3,
        "floor_lr": 1e-4,
        "warmup": min(50, max(1, steps // 4)),
        "weight_decay": 0.01,
        "smoothing": 0.0,
        "pad": PAD,
        "bucketed": True,
        "ema": 0.9,
        "eval_every": steps + 1,
        "eval_batches": None,
        "save_every": steps + 1,
        "log_every": max(1, steps // 4),
        "precision": "fp32",
    }
    return TrainingConfig(steps=steps, **{**plan, **changes})


def fit(
    name: str,
    lessons: Sequence[np.ndarray],
    held_out: Sequence[np.ndarray],
    *,
    steps: int,
    seed: int,
    watched: Sequence[np.ndarray] = (),
) -> Trained:
    """Build an arm with a seed, train it on windows of pieces and score it on others.

    watched: further windows, scored at every sixth of the training; they decide nothing.
    """
    model = build(name, torch.Generator().manual_seed(seed))
    config = recipe(steps, eval_every=max(1, steps // 6))
    generator = np.random.default_rng(seed)
    run = train(model, lessons, config, generator=generator, validation=list(watched) or None)
    curve = {record["step"]: record["nll"] for record in run.history if record.get("weights") == "live"}
    total = model.component_counts()["total"]
    return Trained(model, total, evaluate(model, held_out, config), curve)


def by_piece(model: HybridDecoder, pieces: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """The mean NLL of each piece, given as its windows: what a comparison over pieces is paired by."""
    config = recipe(1)
    return np.array([evaluate(model, windows, config).nll for windows in pieces])


def save(model: HybridDecoder, path: Path | str) -> None:
    """Write an arm's weights as fp16 safetensors; its name is not kept, `load` must be told."""
    from safetensors.torch import save_file

    save_file({name: weight.detach().half().contiguous() for name, weight in model.state_dict().items()}, path)


def load(name: str, path: Path | str) -> HybridDecoder:
    """An arm by name with the weights of a file. Raises BookError when they do not fit."""
    from safetensors.torch import load_file

    model = build(name, torch.Generator().manual_seed(0))
    try:
        model.load_state_dict({key: value.float() for key, value in load_file(path).items()})
    except (OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise BookError(f"{path} does not hold the arm {name!r} ({reason}); `make prepare N=07` remakes it") from error
    return model


def last_steps(model: HybridDecoder, lessons: Sequence[np.ndarray], *, steps: int, seed: int) -> list[float]:
    """Train a prepared arm on at the least learning rate; the training losses on the way."""
    config = recipe(steps, peak_lr=1e-4, warmup=1, log_every=1)
    run = train(model, lessons, config, generator=np.random.default_rng(seed))
    return [record["loss"] for record in run.history]
