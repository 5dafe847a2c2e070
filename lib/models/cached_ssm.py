"""Memory caching on a selective state space: its own state, which our scan exposes, or the block's output as a proxy.

A fused kernel keeps the state in registers, so the post cached the output of the block at the end of each segment
instead, and never trained it. Here the scan hands its state on from segment to segment, and both can be had.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.kernels import selective_scan
from lib.kernels.memory.gates import fold, unfold
from lib.kernels.memory.parallel import cached_reads, own_entries
from lib.models.cached_memory import CachedMemoryConfig, SegmentGate, current
from lib.models.gated_delta_net import short_convolution
from lib.models.layers import RMSNorm
from lib.models.selective_ssm import SelectiveSSM


class CachedSelectiveSSM(SelectiveSSM):
    """A selective SSM that can also read the states at the end of earlier segments with today's read vector.

    Source: Gu and Dao, Mamba (2023), for the mixer; Behrouz et al., Memory Caching (2026), for the cache. Chapter 08.
    """

    def read(self, x: Tensor, gates: Tensor, segment: int) -> Tensor:
        """x [B, T, d], gates [B, T, N] -> [B, T, d]; with gates that are 1 for the current segment, the plain mixer.

        y_t = g_t c_t . h_t + sum_i g_{t,i} c_t . h^(i) + d x_t, with h^(i) the state at the end of segment i.
        """
        time = x.shape[1]
        inner, gate = self.in_proj(x).chunk(2, dim=-1)
        inner, _ = short_convolution(inner, self.conv, None)
        inner = F.silu(inner + self.conv_bias)
        low_rank, write, read = self.x_proj(inner).split([self.dt_rank, self.state_size, self.state_size], dim=-1)
        dt = F.softplus(self.dt_proj(low_rank))
        reads, ends, state = [], [], None
        for part in torch.arange(time).split(segment):
            here = slice(int(part[0]), int(part[-1]) + 1)
            y, state = selective_scan(
                *(z[:, here].contiguous() for z in (inner, dt)),
                -self.A_log.exp(),
                *(z[:, here].contiguous() for z in (write, read)),
                torch.zeros_like(self.D),
                initial_state=state,
                impl=self.impl,
            )
            reads.append(y)
            ends.append(state.mT)
        weights, queries = (fold(z, segment, 0)[:, :, None] for z in (gates, read))
        cached = cached_reads(queries, torch.stack(ends, 1)[:, None], weights, 0)
        online = own_entries(weights, 0) * fold(torch.cat(reads, 1), segment, 0)[:, :, None]
        y = unfold((online + cached)[:, :, 0], time, 0) + self.D * inner
        return self.o_proj(y * F.silu(gate))


class SelectiveBlock(nn.Module):
    """x + ssm(norm(x)), with a cache of states (faithful) or of its own outputs (released, the proxy)."""

    def __init__(self, config: CachedMemoryConfig, layer: int) -> None:
        super().__init__()
        self.config = config
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.mixer = CachedSelectiveSSM(config.width, state_size=config.state_size)
        self.gate = SegmentGate(config) if config.caches(layer) else None

    def forward(self, x: Tensor, gates: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """x [B, T, d]; gates [B, T, N] to use in place of the block's own, or None. Returns x and the gates used."""
        segment, h = self.config.segment, self.norm(x)
        alone = x.new_ones(*x.shape[:2], 1)
        if self.gate is None:
            return x + self.mixer.read(h, alone, x.shape[1]), None
        released = self.config.cache == "released"
        if gates is None:
            gates = self.gate(x if released else h)
        if not released:
            return x + self.mixer.read(h, gates, segment), gates
        stream = x + self.mixer.read(h, alone, x.shape[1])
        outputs = stream[:, segment - 1 :: segment]
        past = torch.arange(outputs.shape[1], device=x.device) < (torch.arange(x.shape[1]) // segment)[:, None]
        return current(gates, segment) * stream + (gates[..., : outputs.shape[1]] * past) @ outputs, gates
