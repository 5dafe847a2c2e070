"""Prepare chapter 07: the chorales on their grid, parsed from music21's corpus, and a pocket hybrid taught on them.

    make prepare N=07

The steps were fixed beforehand; every figure of the chapter is measured afterwards, on pieces that training never saw.
"""

from pathlib import Path

import numpy as np
import torch

from lib.datasets import music
from lib.trainers import music_arms

PIECES, STEPS = {"teach": None, "smoke": 10}, {"teach": 150, "smoke": 1}


def prepare(folder: Path, profile: str) -> None:
    """Write 07.chorales.npz and 07.hybrid.safetensors."""
    torch.set_num_threads(1)
    parsed = music.parse(PIECES[profile])
    music.save(parsed, folder / "07.chorales.npz")
    lessons_of = music.split(parsed, np.random.default_rng(7))[0]
    lessons = music.windows(lessons_of, 128, hop=64, most=5, ranges=music.compass(parsed))
    held_out = lessons[:8]
    trained = music_arms.fit("hybrid 3:1", lessons, held_out, steps=STEPS[profile], seed=0)
    music_arms.save(trained.model, folder / "07.hybrid.safetensors")
