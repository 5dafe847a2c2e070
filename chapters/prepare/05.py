"""Prepare chapter 05: the text of the pocket ladder, and the rungs that fit: width 64 twice and width 128 once.

    make prepare N=05

The full run trains all nine rungs in the same way, from the same sequences; a rung that it has left under runs/ladder
is read instead of trained again. A rung takes half a minute to two and a half on one core.
"""

from pathlib import Path

import torch

from lib.datasets import pocket_text, registry
from lib.models import neox_ladder
from lib.models.neox_ladder import LadderConfig
from lib.trainers.ladder import LadderTraining, rung

KEPT = [(64, 0), (64, 1), (128, 0)]
SIZES = {"smoke": (4, 8, 16), "teach": (800, 64, pocket_text.FOR_MODELS)}  # autoencoders, held out, models
FEW = {"train": {"numpy": "numpy"}, "other": {"skimage": "scikit-image"}}  # packages of the smoke profile


def prepare(folder: Path, profile: str) -> None:
    """Write 05.text.safetensors, 05.tokenizer.json and one 05.rung-WIDTH-SEED.safetensors a model."""
    torch.set_num_threads(1)
    autoencoders, held_out, models = SIZES["smoke" if profile == "smoke" else "teach"]
    found = pocket_text.from_packages(autoencoders, held_out, models, **(FEW if profile == "smoke" else {}))
    pocket_text.save(found, folder / "05.text.safetensors", folder / "05.tokenizer.json")
    rows = torch.from_numpy(found.models).long()
    for width, seed in KEPT:
        made = rung(LadderConfig(width=width), rows, LadderTraining(), seed, registry.root() / "runs" / "ladder")
        neox_ladder.save(made, folder / f"05.rung-{width}-{seed}.safetensors")
