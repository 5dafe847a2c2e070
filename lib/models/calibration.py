"""A signer in a few numbers: a short calibration clip becomes a vector that is added to every frame. Chapter 02."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lib.errors import BookError
from lib.models.layers import Linear


class SignerEmbedding(nn.Module):
    """Calibration clips [B, T, F] to signer vectors [B, D]: frames are embedded, averaged over time, mapped to D.

    The last map starts at zero, so that a model begins as if it knew no signer. generator: fills the other weights.
    """

    def __init__(self, inputs: int, width: int, generator: torch.Generator, hidden: int = 32) -> None:
        super().__init__()
        self.inputs = inputs
        self.frame, self.output = Linear(inputs, hidden), Linear(hidden, width)
        self.frame.initialise(generator)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, clips: Tensor) -> Tensor:
        """Signer vectors [B, D]. Raises BookError for clips of another shape."""
        if clips.ndim != 3 or clips.shape[2] != self.inputs:
            raise BookError(f"calibration clips are {list(clips.shape)}; give [B, T, {self.inputs}]")
        return self.output(self.frame(clips).relu().mean(dim=1))
