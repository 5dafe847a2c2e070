"""Errors of a known kind and size, to set beside those of an autoencoder at one model. Chapter 06.

Each takes a reconstruction and gives another whose squared error is the same, so that R2 cannot tell the two apart:
only where the error points, or to which token it belongs, differs. Random errors of an autoencoder's size were found
to cost a model less than its own (Gurnee 2024).
"""

from __future__ import annotations

import torch
from torch import Tensor

from lib.analysis.patched_loss import Rebuild


def isotropic(rebuild: Rebuild, generator: torch.Generator) -> Rebuild:
    """Every token's error turned into a random direction of the same length."""

    def again(x: Tensor) -> tuple[Tensor, None]:
        error = rebuild(x)[0] - x
        noise = torch.randn(x.shape, generator=generator).to(x)
        return x + noise * (error.norm(dim=-1, keepdim=True) / noise.norm(dim=-1, keepdim=True)), None

    return again


def shuffled(rebuild: Rebuild, generator: torch.Generator) -> Rebuild:
    """The same errors, dealt out to other tokens: their covariance stays, what they have to do with a token goes."""

    def again(x: Tensor) -> tuple[Tensor, None]:
        error = rebuild(x)[0] - x
        return x + error[torch.randperm(len(x), generator=generator).to(x.device)], None

    return again
