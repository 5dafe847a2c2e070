"""One of several processes that train together, started by torchrun in test_devices.py; it writes what came out."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lib.models import HybridConfig, HybridDecoder
from lib.trainers import CheckpointStore, TrainingConfig, train
from lib.trainers.devices import ManyDevices, OneDevice

CONFIG = TrainingConfig(
    steps=4,
    batch=8,
    accumulate=2,
    pad=16,
    peak_lr=1e-2,
    warmup=2,
    log_every=1,
    eval_every=2,
    save_every=2,
    bucketed=True,
)
MODEL = HybridConfig(
    codebooks=2, vocabulary=18, pad=16, width=16, layers=2, heads=2, kv_heads=1, ffn_width=24, dropout=0.0
)


def run(folder: Path, devices: OneDevice | ManyDevices, *, steps: int = 4, dropout: float = 0.0) -> dict:
    """Train on rows of different lengths, so that processes see different numbers of targets."""
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)
    data = [generator.integers(0, 16, (2, length)) for length in generator.integers(3, 14, 30)]
    model = HybridDecoder(replace(MODEL, dropout=dropout), torch.Generator().manual_seed(0))
    done = train(
        model,
        data,
        replace(CONFIG, steps=steps, schedule_steps=4),
        generator=np.random.default_rng(1),
        validation=data[:19],
        checkpoints=CheckpointStore(folder),
        devices=devices,
    )
    weights = {name: weight.flatten().tolist() for name, weight in model.state_dict().items()}
    return {"history": done.history, "weights": weights, "world": devices.world}


if __name__ == "__main__":
    from accelerate import Accelerator

    root, devices = Path(sys.argv[1]), ManyDevices(Accelerator(cpu=True))
    result = run(root / "checkpoints", devices)
    whole = run(root / "whole", devices, dropout=0.3)
    run(root / "parts", devices, steps=2, dropout=0.3)
    result["resumed is whole"] = run(root / "parts", devices, dropout=0.3) == whole
    (root / f"result-{devices.rank}.json").write_text(json.dumps(result))
