"""Prepare chapter 01: a pocket decoder that knows public names, and the same decoder after imitation of the tag table.

    make prepare N=01

The steps were chosen by looking at the training loss alone; every figure of the chapter is measured afterwards.
"""

from pathlib import Path

import numpy as np

from lib.datasets import tag_lessons, tag_scenarios, taxonomy
from lib.models import tag_decoder
from lib.trainers.preferences import Imitation, sft

SIZES = {"smoke": (200, 200, 2, 2), "teach": (8000, 6000, 900, 1000)}  # public lines, lessons, steps of each


def prepare(folder: Path, profile: str) -> None:
    """Write the base and the imitating decoder."""
    public_lines, lessons, base_steps, sft_steps = SIZES["smoke" if profile == "smoke" else "teach"]
    table, rng = taxonomy.taxonomy(), np.random.default_rng(0)
    public = [(pair.prompt, pair.answer) for pair in tag_scenarios.verbose_corpus(table, public_lines, rng)]
    taught = tag_lessons.imitation(table, lessons, rng)
    prompts = [item.prompt for item in tag_lessons.practice(table, lessons, rng)]
    tokenizer = tag_decoder.word_tokenizer([*prompts, *(text for pair in public + taught for text in pair)], words=1600)
    base = tag_decoder.build(tag_decoder.TagDecoderConfig(), tokenizer, seed=0)
    recipe = {"batch": 48, "schedule": "cosine", "seed": 0}
    base = sft(base, tokenizer, public, Imitation(steps=base_steps, rate=3e-3, **recipe)).model
    tag_decoder.save(base, tokenizer, folder / "01.base.safetensors")
    imitating = sft(base, tokenizer, taught, Imitation(steps=sft_steps, rate=2e-3, **recipe)).model
    tag_decoder.save(imitating, tokenizer, folder / "01.sft.safetensors")
