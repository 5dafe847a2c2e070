"""Which positions of a right-padded batch are real, so that work per position never touches padding.

Every mixer here is causal, so padding on the right cannot reach a real position: no key mask is needed, and attention
keeps its fast causal path. Projections, feed-forward networks, norms and heads run on the packed rows [N, ...] alone;
attention and the scan see [B, T, ...], with T the longest length of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lib.errors import BookError


@dataclass(frozen=True)
class Span:
    """A batch of stretches that start at the same position.

    batch, time: rows, and steps of the longest row.
    start: position of the first step; above 0 when a state continues.
    index: [N] flat places (row * time + step) of the real positions, or None when all are real.
    """

    batch: int
    time: int
    start: int = 0
    index: Tensor | None = None

    def pack(self, x: Tensor) -> Tensor:
        """[B, T, ...] -> [N, ...]: the real positions, row by row."""
        flat = x.flatten(0, 1)
        return flat if self.index is None else flat.index_select(0, self.index)

    def pad(self, x: Tensor) -> Tensor:
        """[N, ...] -> [B, T, ...]: zeros at padding."""
        if self.index is not None:
            x = x.new_zeros(self.batch * self.time, *x.shape[1:]).index_copy(0, self.index, x)
        return x.unflatten(0, (self.batch, self.time))


def span_of(batch: int, time: int, lengths: Sequence[int] | Tensor | None, device: torch.device) -> Span:
    """The span of a batch [B, ..., T] whose rows have these lengths (None: all of T); its time is the longest length.

    Raises BookError for a wrong number of lengths or a length outside 1..T.
    """
    if lengths is None:
        return Span(batch, time)
    lengths = torch.as_tensor(lengths).cpu()
    if lengths.shape != (batch,):
        raise BookError(f"lengths has shape {list(lengths.shape)}; a batch of {batch} needs [{batch}]")
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < 1 or longest > time:
        raise BookError(f"lengths run from {shortest} to {longest}; each must lie in 1..{time}, the steps of the batch")
    if shortest == longest:
        return Span(batch, longest)
    real = torch.arange(longest) < lengths[:, None]
    return Span(batch, longest, index=real.flatten().nonzero()[:, 0].to(device))
