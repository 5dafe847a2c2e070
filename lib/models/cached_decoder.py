"""Gated residual memory as the recurrent mixer of a decoder, so that a comparison changes the mixer alone.

`MemoryDecoder` is a HybridDecoder with these mixers: attention, feed-forward networks, embeddings, heads, packing
and step-by-step decoding are the hybrid's. The decoders of the memory-caching post are in `cached_memory.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lib.kernels import gated_residual_memory
from lib.kernels.memory import MemoryState
from lib.models.hybrid import HybridDecoder
from lib.models.hybrid_config import HybridConfig
from lib.models.layers import Linear
from lib.models.span import Span


class CachedMemoryMixer(nn.Module):
    """Linear attention that also reads a copy of its memory from the end of every earlier segment, through gates.

    Maps q, k, v, o and the gates' u, each d x d, without bias; reads are normalised, the memory is carried on from
    segment to segment, and the gates see the normed input. width: d. heads: H. segment: steps between copies.
    Source: Behrouz et al., Memory Caching (2026), equations 2 and 8 to 10. Used by chapter 07.
    """

    def __init__(self, width: int, heads: int, segment: int) -> None:
        super().__init__()
        self.heads, self.segment, self.scale, self.impl = heads, segment, width**-0.5, "auto"
        self.q_proj, self.k_proj, self.v_proj, self.o_proj, self.u_proj = (
            Linear(width, width, bias=False) for _ in range(5)
        )

    def initialise(self, generator: torch.Generator, residual_scale: float) -> None:
        """Default linear weights; the map back is multiplied by residual_scale."""
        for projection in (self.q_proj, self.k_proj, self.v_proj, self.u_proj):
            projection.initialise(generator)
        self.o_proj.initialise(generator, residual_scale)

    def forward(self, x: Tensor, span: Span, state: MemoryState | None) -> tuple[Tensor, MemoryState]:
        """x [N, d] packed by span; state: what came before, or None. Returns y [N, d] and the state after."""
        x = span.pad(x)
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)) for part in (self.q_proj, self.k_proj, self.v_proj))
        u = self.u_proj(x) * self.scale
        o, state = gated_residual_memory(q, k, v, u, x, segment=self.segment, initial_state=state, impl=self.impl)
        return self.o_proj(span.pack(o).flatten(-2)), state


class MemoryDecoder(HybridDecoder):
    """A HybridDecoder with cached linear attention in its recurrent layers.

    config: its `mixer` and the sizes of that mixer are not used; `attention_every=0, final_attention=False` leaves no
    attention at all. segment: steps between copies; a bar of four quarters has 16 sixteenths.
    """

    def __init__(self, config: HybridConfig, generator: torch.Generator | None = None, segment: int = 16) -> None:
        generator = generator or torch.Generator().manual_seed(0)
        super().__init__(config, generator)
        for layer, block in enumerate(self.blocks, 1):
            if not config.attends(layer):
                block.mixer = CachedMemoryMixer(config.width, config.heads, segment)
        self.initialise(generator)
