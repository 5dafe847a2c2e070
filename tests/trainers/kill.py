"""Train a tiny model in a process that is killed at random moments until it ends; compare with a run left in peace.

    python -m tests.trainers.kill --runs 50 --seed 0

Each attempt is a process of its own, forked from one that has imported torch but computed nothing, and ended by SIGKILL
after a random share of the time that an undisturbed run takes. The end is compared bit for bit: weights, average and
history. Exit code 1 if any run differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from lib.models import HybridConfig, HybridDecoder
from lib.trainers import CheckpointStore, TrainingConfig, train

CONFIG = TrainingConfig(
    steps=24, batch=4, pad=16, peak_lr=1e-2, warmup=3, ema=0.9, save_every=1, log_every=1, eval_every=6, eval_batches=2
)
MODEL = HybridConfig(codebooks=2, vocabulary=18, pad=16, width=16, layers=2, heads=2, kv_heads=1, ffn_width=24)


def work(folder: Path) -> None:
    """Train to the end, from whatever the folder holds, and leave a digest of the result."""
    torch.set_num_threads(1)
    data = np.random.default_rng(0).integers(0, 16, (30, 2, 10))
    model = HybridDecoder(MODEL, torch.Generator().manual_seed(0))
    store = CheckpointStore(folder / "checkpoints", keep=2)
    generator = np.random.default_rng(os.getpid() if store.steps() else 0)  # a resumed run must not need the seed
    run = train(model, data, CONFIG, generator=generator, validation=data[:8], checkpoints=store)
    digest = hashlib.sha256(json.dumps(run.history).encode())
    for weights in (model.state_dict(), run.averages["ema"].weights()):
        for name in sorted(weights):
            digest.update(weights[name].detach().numpy().tobytes())
    (folder / "digest").write_text(digest.hexdigest())


def attempt(folder: Path, patience: float) -> bool:
    """Let a process work for `patience` seconds, then kill it. Says whether it ended by itself."""
    child = os.fork()
    if child == 0:
        try:
            work(folder)
            os._exit(0)
        except BaseException as error:
            print(f"the worker failed: {error}", file=sys.stderr, flush=True)
            os._exit(1)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status != 0:
                raise SystemExit(1)
            return True
        time.sleep(0.0005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def survive(folder: Path, draw_patience: Callable[[], float]) -> tuple[int, int]:
    """Kill and restart until the work is done; returns how many kills there were, and how many left a partial file.

    Patience grows by a tenth with every kill, so that a machine that has become slower ends too.
    """
    kills = partial = 0
    while not attempt(folder, draw_patience() * 1.1**kills):
        kills += 1
        partial += any((folder / "checkpoints").glob(".partial-*"))
    return kills, partial


def main() -> int:
    """Run it, print one line per run and a summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    generator = np.random.default_rng(arguments.seed)
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # torch imports 800 modules for its first optimiser: once
    with tempfile.TemporaryDirectory() as scratch:
        peaceful = Path(scratch) / "peaceful"
        start = time.monotonic()
        survive(peaceful, lambda: float("inf"))
        duration = time.monotonic() - start
        expected = (peaceful / "digest").read_text()
        totals = np.zeros(3, dtype=int)
        number = 0
        while number < arguments.runs:
            folder = Path(tempfile.mkdtemp(dir=scratch))
            kills, partial = survive(folder, lambda most=0.7 * duration: generator.uniform(most / 7, most))
            if kills == 0:  # the machine has become faster: such a run shows nothing
                duration /= 2
                continue
            number += 1
            same = (folder / "digest").read_text() == expected
            totals += (kills, partial, not same)
            print(f"run {number}: {kills} kills, {partial} while saving, {'same' if same else 'DIFFERENT'}", flush=True)
    kills, partial, different = totals
    print(f"{number} runs, {kills} kills, {partial} while saving, {different} different")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
