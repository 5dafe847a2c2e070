"""The speech run at a size that a laptop trains in minutes: the post's decoder made small, its trainer, its clips.

Kept of the post: three recurrent layers to one of attention and attention at the end, eight delayed codebooks, one head
each, label smoothing, AdamW, the average of weights. Changed: 128 wide and 4 deep, 256 codes, four pieces of two
seconds in a batch, a rate ten times the post's with a short warmup, and decay on matrices alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lib.errors import BookError
from lib.models.hybrid import HybridDecoder
from lib.models.hybrid_config import HybridConfig
from lib.models.sampling import SamplingConfig, sample
from lib.trainers.language_model import Progress, TrainingConfig

if TYPE_CHECKING:
    from lib.models.codec import Tokenizer

CODES = 256
"""Codes per codebook of the pocket codec; the same number is its pad token."""


def pocket_decoder(**change: object) -> HybridConfig:
    """The pocket hybrid: recurrent, recurrent, recurrent, attention; 1,420,136 parameters. Used by chapters 09, 10."""
    shape = {"vocabulary": CODES + 1, "pad": CODES, "width": 128, "layers": 4, "heads": 4, "ffn_width": 352}
    return HybridConfig(**(shape | change))


def pocket_training(steps: int, **change: object) -> TrainingConfig:
    """How the pocket hybrid is trained; schedules end with the run. Used by chapters 09 and 10."""
    recipe = {"batch": 4, "pad": CODES, "peak_lr": 3e-3, "floor_lr": 1e-4, "warmup": 20}
    recipe |= {"eval_every": max(1, steps // 4), "eval_batches": None, "save_every": 10**9, "log_every": 10}
    return TrainingConfig(steps=steps, **(recipe | change))


def tokenised(codec: Tokenizer, waves: Sequence[np.ndarray]) -> list[Tensor]:
    """The codes [K, T] of each wave, as the trainer takes them."""
    return [torch.as_tensor(codec.encode(wave)) for wave in waves]


def pieces(tokens: Sequence[Tensor], frames: int = 150) -> list[Tensor]:
    """Codes [K, T] cut into whole windows [K, frames], the rest dropped; a clip shorter than one stays as it is.

    Short pieces make small updates, and early in training many small ones teach more than few large ones.
    """
    cut = []
    for codes in tokens:
        last = max(1, codes.shape[1] - frames + 1)
        cut += [codes[:, start : start + frames] for start in range(0, last, frames)]
    return cut


def save_weights(weights: dict[str, Tensor], path: Path) -> None:
    """Write weights as fp16 safetensors, without optimiser: for sampling, not for going on."""
    from safetensors.torch import save_file

    save_file({name: weight.detach().half().contiguous() for name, weight in weights.items()}, path)


def load_weights(config: HybridConfig, path: Path) -> HybridDecoder:
    """The decoder of a config with weights that `save_weights` wrote, in evaluation mode.

    Raises BookError when the file is missing or holds the weights of another shape.
    """
    from safetensors.torch import load_file

    if not Path(path).is_file():
        raise BookError(f"no weights at {path}; make them with `make prepare`")
    model = HybridDecoder(config)
    try:
        model.load_state_dict({name: weight.float() for name, weight in load_file(path).items()})
    except RuntimeError as error:
        raise BookError(f"{path} holds weights of another decoder: {str(error).splitlines()[-1].strip()}") from None
    return model.eval()


@dataclass
class SampleDuring:
    """A callback that draws samples at chosen steps, always with the same seed and prompt.

    steps: when, among the log and evaluation steps, where the trainer calls. codes: [count, K, frames] by step.
    weights: "live", or the name of an average of the run.
    """

    steps: Sequence[int]
    prompt: Tensor
    frames: int
    count: int
    config: SamplingConfig = field(default_factory=SamplingConfig)
    seed: int = 0
    weights: str = "live"
    codes: dict[int, Tensor] = field(default_factory=dict)

    def __call__(self, run: Progress) -> None:
        """Draw when the step is one of ours and was not drawn yet."""
        if run.step not in self.steps or run.step in self.codes:
            return
        average = nullcontext() if self.weights == "live" else run.averages[self.weights].applied(run.model)
        with average:
            self.codes[run.step] = self.draw(run.model)

    def draw(self, model: HybridDecoder) -> Tensor:
        """Samples [count, K, frames] of a model."""
        generator = torch.Generator().manual_seed(self.seed)
        size = model.config.pad
        drawn, _ = sample(
            model, self.frames, self.config, generator=generator, size=size, prompt=self.prompt, count=self.count
        )
        return drawn
