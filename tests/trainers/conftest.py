"""A tiny decoder and a tiny dataset with structure to learn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from lib.models import HybridConfig, HybridDecoder
from lib.trainers import TrainingConfig

PAD = 16


@pytest.fixture
def make_model() -> Callable[..., HybridDecoder]:
    """make_model(dropout=...): a decoder of two codebooks and 18 tokens, always with the same initial weights."""

    def make(dropout: float = 0.1) -> HybridDecoder:
        config = HybridConfig(
            codebooks=2,
            vocabulary=18,
            pad=PAD,
            width=16,
            layers=2,
            heads=2,
            kv_heads=1,
            ffn_width=24,
            attention_every=2,
            dropout=dropout,
        )
        return HybridDecoder(config, torch.Generator().manual_seed(0))

    return make


@pytest.fixture
def data() -> list[np.ndarray]:
    """Forty items [2, 6 to 12] that count upwards, the second codebook one ahead of the first."""
    generator = np.random.default_rng(0)
    starts, lengths = generator.integers(0, 16, 40), generator.integers(6, 13, 40)
    return [(np.arange(n) + start + np.arange(2)[:, None]) % 16 for start, n in zip(starts, lengths, strict=True)]


@pytest.fixture
def make_config() -> Callable[..., TrainingConfig]:
    """make_config(field=value): a short run with everything switched on."""

    def make(**changes) -> TrainingConfig:
        short = {
            "steps": 12,
            "batch": 8,
            "pad": PAD,
            "peak_lr": 1e-2,
            "floor_lr": 1e-3,
            "warmup": 3,
            "ema": 0.9,
            "eval_every": 5,
            "eval_batches": None,
            "save_every": 4,
            "log_every": 2,
        }
        return TrainingConfig(**{**short, **changes})

    return make
