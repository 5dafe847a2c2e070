"""What gates over cached segments say: how spread they are against the most they could be, and where they point."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def entropy_bound(segments: int) -> float:
    """The largest mean entropy, in nats, of gates over `segments` whole segments: ln(n!) / n.

    A token of the i-th segment has i entries, the current one included; uniform gates reach ln i. Used by chapter 08.
    """
    return math.lgamma(segments + 1) / segments


def gate_entropy(gates: Tensor) -> float:
    """Mean over rows and tokens of the entropy of gates [B, T, N], in nats; the first segment counts as 0."""
    return torch.special.entr(gates.double()).sum(-1).mean().item()


def relative_entropy(gates: Tensor, segment: int) -> float:
    """The mean entropy of gates [B, T, N] as a share of what uniform gates over the same segments would have."""
    bound = (1 + _own(gates, segment)).double().log().mean().item()
    return gate_entropy(gates) / bound if bound else 0.0


def mass_at(gates: Tensor, segments: Tensor, where: Tensor) -> float:
    """Mean gate of gates [B, T, N] on segments [B, T], over the steps `where` [B, T] is true."""
    return gates.gather(-1, segments[..., None])[..., 0][where].double().mean().item()


def cached_mass(gates: Tensor, segment: int, where: Tensor) -> float:
    """Mean gate of all earlier segments together, over the steps `where` [B, T] is true."""
    own = _own(gates, segment).expand(gates.shape[0], -1)[..., None]
    return 1.0 - gates.gather(-1, own)[..., 0][where].double().mean().item()


def _own(gates: Tensor, segment: int) -> Tensor:
    """The segment of each step of gates [B, T, N], [T]."""
    return torch.arange(gates.shape[1]) // segment


def spikes(norms: list[float], factor: float = 10.0, skip: int = 0) -> list[float]:
    """Gradient norms that exceed `factor` times the median of all, the first `skip` updates left out, as multiples."""
    later = torch.tensor(norms[skip:], dtype=torch.float64)
    multiples = later / later.median()
    return multiples[multiples > factor].tolist()


def residual_growth(rms: Tensor, segment: int) -> list[float]:
    """Mean RMS of the residual stream [T] over each segment, in units of the first segment's."""
    means = torch.stack([part.mean() for part in rms.split(segment)])
    return (means / means[0]).tolist()
