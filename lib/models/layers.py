"""The small parts that every decoder here is made of: linear maps, RMSNorm, feed-forward networks.

Nothing draws a random number when it is built. `initialise(generator)` fills the weights afterwards, so that one
generator decides all of them, and a model on the `meta` device can be counted without memory.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def fill_uniform(weight: Tensor, bound: float, generator: torch.Generator) -> None:
    """Fill a tensor with U(-bound, bound) from the generator; a tensor on `meta` has nothing to fill."""
    if not weight.is_meta:
        with torch.no_grad():
            weight.uniform_(-bound, bound, generator=generator)


def fill_xavier(weight: Tensor, generator: torch.Generator, gain: float = 1.0) -> None:
    """Xavier-uniform: bound gain * sqrt(6 / (fan_in + fan_out)); axes after the second count into both fans.

    weight: [out, in, ...]. A depthwise filter [C, 1, width] thus has fan_out C * width, as the framework counts it.
    """
    area = math.prod(weight.shape[2:])
    fan_out, fan_in = weight.shape[0] * area, weight.shape[1] * area
    fill_uniform(weight, gain * math.sqrt(6 / (fan_in + fan_out)), generator)


class Linear(nn.Linear):
    """A linear map whose weights wait for `initialise`: uniform within 1 / sqrt(fan_in), the framework's default."""

    def reset_parameters(self) -> None:
        """Leave the weights alone: torch would draw them from its global generator here."""

    def initialise(self, generator: torch.Generator, scale: float = 1.0) -> None:
        """Draw weight and bias from U(-1/sqrt(in), 1/sqrt(in)) times scale."""
        bound = scale / math.sqrt(self.in_features)
        fill_uniform(self.weight, bound, generator)
        if self.bias is not None:
            fill_uniform(self.bias, bound, generator)


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + eps) * weight over the last axis, in the precision of the weight whatever comes in."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.size = size
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """x [..., size] -> [..., size] in the dtype of x."""
        if x.dtype == self.weight.dtype:
            return F.rms_norm(x, (self.size,), self.weight, self.eps)
        return F.rms_norm(x.float(), (self.size,), self.weight, self.eps).to(x.dtype)


class FeedForward(nn.Module):
    """Two bias-free networks: SwiGLU, down(silu(gate) * up), and GELU, down(gelu(up)); one map gives gate and up."""

    def __init__(self, width: int, hidden: int, kind: Literal["swiglu", "gelu"]) -> None:
        super().__init__()
        self.gated = kind == "swiglu"
        self.up_proj = Linear(width, 2 * hidden if self.gated else hidden, bias=False)
        self.down_proj = Linear(hidden, width, bias=False)

    def initialise(self, generator: torch.Generator, residual_scale: float) -> None:
        """Default linear weights; the map back into the residual stream is multiplied by residual_scale."""
        self.up_proj.initialise(generator)
        self.down_proj.initialise(generator, residual_scale)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., width] -> [..., width]."""
        if not self.gated:
            return self.down_proj(F.gelu(self.up_proj(x)))
        gate, up = self.up_proj(x).chunk(2, dim=-1)
        return self.down_proj(F.silu(gate) * up)
