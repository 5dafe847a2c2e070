"""Prepare chapters 09 and 10: the pocket codec, fitted to the pocket speech, and a pocket hybrid trained on its tokens.

    make prepare N=10

The hybrid keeps the weights that it has when its schedule ends; the number of steps was fixed before the run.
"""

from pathlib import Path

import numpy as np
import torch

from lib.datasets import speech
from lib.models import HybridDecoder, ResidualVQCodec
from lib.models.log_mel import MelConfig, log_mel
from lib.trainers import fit_residual_vq, train
from lib.trainers.pocket_speech import CODES, pieces, pocket_decoder, pocket_training, save_weights, tokenised

SIZES = {"smoke": (30, 2, 2), "teach": (10_000, 10, 400)}  # clips at most, rounds of k-means, steps
STAGES = 7


def varied(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The wave louder or softer, its spectrum stretched by resampling, with some noise: other voices and rooms."""
    from scipy.signal import resample_poly

    stretched = resample_poly(wave, 100, int(rng.integers(72, 112)))
    louder = stretched * 10 ** rng.uniform(-0.5, 0.2)
    return (louder + 10 ** rng.uniform(-4.5, -2.8) * rng.standard_normal(len(louder))).astype(np.float32)


def prepare(folder: Path, profile: str) -> None:
    """Write codec and weights."""
    most, rounds, steps = SIZES["smoke" if profile == "smoke" else "teach"]
    train_clips, held = speech.every_tenth(speech.pocket_speech(most))
    rng, mel = np.random.default_rng(1), MelConfig()
    waves = [clip.wave for clip in train_clips]
    frames = [log_mel(wave, mel) for wave in waves[::3] + [varied(wave, rng) for wave in waves[::6]]]
    codec = ResidualVQCodec(*fit_residual_vq(np.concatenate(frames), STAGES, CODES, rng, rounds))
    codec.save(folder / "10.codec.safetensors")
    codec = ResidualVQCodec.load(folder / "10.codec.safetensors")
    tokens, held_tokens = tokenised(codec, waves), tokenised(codec, [clip.wave for clip in held[:12]])
    model = HybridDecoder(pocket_decoder(), torch.Generator().manual_seed(0))
    recipe = pocket_training(steps)
    train(model, pieces(tokens), recipe, generator=np.random.default_rng(0), validation=pieces(held_tokens))
    save_weights(dict(model.named_parameters()), folder / "10.hybrid.safetensors")
