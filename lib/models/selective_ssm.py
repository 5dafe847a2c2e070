"""A selective state space as the recurrent mixer of a decoder: Mamba's block around the selective scan.

`SelectiveDecoder` is a HybridDecoder whose recurrent layers are these mixers; attention layers, feed-forward networks,
embeddings, heads, packing and step-by-step decoding are the hybrid's, so that a comparison changes the mixer alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.errors import BookError
from lib.kernels import selective_scan
from lib.models.gated_delta_net import short_convolution
from lib.models.hybrid import HybridDecoder
from lib.models.hybrid_config import HybridConfig
from lib.models.layers import Linear, fill_uniform
from lib.models.span import Span

DT_LEAST, DT_MOST, DT_FLOOR = 1e-3, 0.1, 1e-4


@dataclass(frozen=True)
class SelectiveState:
    """What a mixer remembers: states [B, E, N], and the last inputs of its filter [B, width - 1, E]."""

    states: Tensor
    window: Tensor


class SelectiveSSM(nn.Module):
    """Mamba's mixer: out(scan(silu(conv(x))) * silu(z)), with step, write and read made from the convolved input.

    width: d. state_size: N numbers per channel. conv_width: steps that the filter sees. expand: channels E per d.
    dt_rank: rank of the map that makes the step; None for ceil(d / 16). impl: of lib.kernels.selective_scan.
    Raises BookError for a size below 1. Source: Gu and Dao, Mamba (2023), section 3.4 and figure 3. Used by chapter 07.
    """

    def __init__(
        self,
        width: int,
        *,
        state_size: int = 16,
        conv_width: int = 4,
        expand: int = 2,
        dt_rank: int | None = None,
        impl: str = "auto",
    ) -> None:
        super().__init__()
        self.dt_rank = math.ceil(width / 16) if dt_rank is None else dt_rank
        sizes = {"width": width, "state_size": state_size, "conv_width": conv_width, "expand": expand}
        for name, size in (sizes | {"dt_rank": self.dt_rank}).items():
            if size < 1:
                raise BookError(f"{name}={size}; a selective SSM needs at least 1")
        self.channels, self.state_size, self.impl = expand * width, state_size, impl
        self.in_proj = Linear(width, 2 * self.channels, bias=False)
        self.conv = nn.Parameter(torch.zeros(self.channels, 1, conv_width))
        self.conv_bias = nn.Parameter(torch.zeros(self.channels))
        self.x_proj = Linear(self.channels, self.dt_rank + 2 * state_size, bias=False)
        self.dt_proj = Linear(self.dt_rank, self.channels)
        self.A_log = nn.Parameter(torch.zeros(self.channels, state_size))
        self.D = nn.Parameter(torch.ones(self.channels))
        self.o_proj = Linear(self.channels, width, bias=False)

    def initialise(self, generator: torch.Generator, residual_scale: float) -> None:
        """The released start: default maps, A = -1 .. -N in every channel, dt log-uniform in [1e-3, 0.1], D = 1."""
        self.in_proj.initialise(generator)
        bound = 1 / math.sqrt(self.conv.shape[-1])
        fill_uniform(self.conv, bound, generator)
        fill_uniform(self.conv_bias, bound, generator)
        self.x_proj.initialise(generator)
        fill_uniform(self.dt_proj.weight, self.dt_rank**-0.5, generator)
        self.o_proj.initialise(generator, residual_scale)
        if self.A_log.is_meta:
            return
        with torch.no_grad():
            self.A_log.copy_(torch.arange(1, self.state_size + 1).log().expand_as(self.A_log))
            self.D.fill_(1)
            dt = self.dt_proj.bias.uniform_(math.log(DT_LEAST), math.log(DT_MOST), generator=generator)
            dt = dt.exp().clamp_min(DT_FLOOR)
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # softplus of this is dt

    def forward(self, x: Tensor, span: Span, state: SelectiveState | None) -> tuple[Tensor, SelectiveState]:
        """x [N, d] packed by span; state: what came before, or None. Returns y [N, d] and the state after."""
        inner, gate = self.in_proj(x).chunk(2, dim=-1)
        inner, window = short_convolution(span.pad(inner), self.conv, None if state is None else state.window)
        inner = F.silu(inner + self.conv_bias.to(inner.dtype))
        low_rank, write, read = self.x_proj(inner).split([self.dt_rank, self.state_size, self.state_size], dim=-1)
        dt = F.softplus(self.dt_proj(low_rank).to(self.A_log.dtype))
        inner, write, read = (part.to(self.A_log.dtype) for part in (inner, write, read))
        y, states = selective_scan(
            inner,
            dt,
            -self.A_log.exp(),
            write,
            read,
            self.D,
            initial_state=None if state is None else state.states,
            impl=self.impl,
        )
        return self.o_proj(span.pack(y.to(gate.dtype)) * F.silu(gate)), SelectiveState(states, window)


class SelectiveDecoder(HybridDecoder):
    """A HybridDecoder with selective state spaces in its recurrent layers.

    config: its `mixer` and the sizes of that mixer are not used; `attention_every=0, final_attention=False` leaves no
    attention at all. mixer: options of SelectiveSSM, such as state_size.
    """

    def __init__(self, config: HybridConfig, generator: torch.Generator | None = None, **mixer: int) -> None:
        generator = generator or torch.Generator().manual_seed(0)
        super().__init__(config, generator)
        for layer, block in enumerate(self.blocks, 1):
            if not config.attends(layer):
                options = {"conv_width": config.conv_width} | mixer
                block.mixer = SelectiveSSM(config.width, **options)
        self.initialise(generator)


def draft_counts(
    width: int = 768, layers: int = 20, attention: int = 5, state_size: int = 64, codebooks: int = 9
) -> dict[str, int]:
    """Parameters of the earlier drafts' Mamba hybrid: SSM blocks without a feed-forward network, attention blocks with.

    Attention has no shared keys and no bias, the feed-forward network is GELU of 4 d, 8,192 positions are learned, and
    every mixer and every feed-forward network has its norm. Chapter 07 compares the totals with those on record.
    """
    with torch.device("meta"):
        ssm = sum(p.numel() for p in SelectiveSSM(width, state_size=state_size).parameters())
    return {
        "ssm": (layers - attention) * ssm,
        "attention": attention * 4 * width**2,
        "ffn": attention * 8 * width**2,
        "norms": (layers + attention + 1) * width,
        "positions": 8192 * width,
        "embeddings and heads": 2 * codebooks * 1027 * width,
    }
