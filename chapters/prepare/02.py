"""Prepare chapter 02: one reader of every arm that the page compares.

    make prepare N=02

The number of updates was chosen on a development run with another seed, before anything of the chapter was measured.
"""

from pathlib import Path

from lib.datasets import composed_signing, signing_lessons
from lib.trainers import reading_arms
from lib.trainers.seq2seq import Examples

ARMS = ("attention", "sinusoidal", "gru", "with_letters", "first_pad", "no_pads", "all_pads", "joint", "ctc")
SEED = 11  # not the development seed
SIZES = {"smoke": (60, 2), "teach": (6000, 10_000)}  # phrases to learn from, most updates of an arm


def prepare(folder: Path, profile: str) -> None:
    """Write 02.arms, all readers in half precision."""
    count, most = SIZES["smoke" if profile == "smoke" else "teach"]
    source = composed_signing.takes().train
    lessons = {name: Examples.of(rows) for name, rows in signing_lessons.sets(source, count, SEED).items()}
    trained = {name: reading_arms.learn(name, lessons, SEED, most) for name in ARMS}
    reading_arms.save(trained, folder / "02.arms.safetensors")
