"""What a segmented memory carries from one call to the next: the cache, and the segment that is being written."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

EPS = 1e-6
"""Least denominator of a normalised read."""


@dataclass(frozen=True)
class MemoryState:
    """The past of a call, M finished segments and one begun.

    cached [B, M, H, K, V] and cached_sum [B, M, H, K]: the memory and its normaliser at the end of each segment.
    cached_mean [B, M, E]: mean of x over each. online [B, H, K, V] and online_sum [B, H, K]: the memory being written.
    x_sum [B, E]: sum of x over the segment that has begun; filled: its tokens so far, 0 <= filled < segment.
    """

    cached: Tensor
    cached_sum: Tensor
    cached_mean: Tensor
    online: Tensor
    online_sum: Tensor
    x_sum: Tensor
    filled: int

    @classmethod
    def empty(cls, batch: int, heads: int, key: int, value: int, width: int, **kind: object) -> MemoryState:
        """Nothing cached and nothing written; kind: dtype and device of the tensors."""
        return cls(
            cached=torch.zeros(batch, 0, heads, key, value, **kind),
            cached_sum=torch.zeros(batch, 0, heads, key, **kind),
            cached_mean=torch.zeros(batch, 0, width, **kind),
            online=torch.zeros(batch, heads, key, value, **kind),
            online_sum=torch.zeros(batch, heads, key, **kind),
            x_sum=torch.zeros(batch, width, **kind),
            filled=0,
        )

    @property
    def segments(self) -> int:
        """Finished segments M."""
        return self.cached.shape[1]

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "filled"}

    def numbers(self) -> int:
        """How many numbers a sequence's state holds, cache included."""
        return sum(tensor[0].numel() for tensor in self.tensors().values())
