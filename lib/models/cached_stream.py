"""Decoders with cached memory, one step at a time: what a block keeps of the past, and how it takes up a token.

The forward pass computes a whole sequence from products over segments; here every token meets the memory, the copies
and the gates by themselves, as the paper writes them. Both give the same logits, which is tested for every form.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.kernels.memory.naive import read
from lib.kernels.memory.state import EPS
from lib.models.selective_ssm import SelectiveState

Memory = tuple[Tensor, Tensor]
"""A linear memory [B, H, K, V] and its normaliser [B, H, K]."""


@dataclass(frozen=True)
class BlockState:
    """What a block remembers after a step.

    whole: what its recurrent layer holds since the start, a Memory or a SelectiveState; None before the first step.
    online: the linear memory being written, which mode "independent" empties at the end of a segment.
    cached: of each finished segment, what is read of it and, last, the mean of the gates' input over it [B, d].
    x_sum [B, d] and filled: sum and number of the gates' inputs of the segment that has begun.
    """

    whole: Memory | SelectiveState | None = None
    online: Memory | None = None
    cached: tuple[tuple[Tensor, ...], ...] = ()
    x_sum: Tensor | float = 0.0
    filled: int = 0

    def numbers(self) -> int:
        """How many numbers a sequence's state holds, copies included."""
        whole = () if self.whole is None else self.whole
        parts = [*(vars(whole).values() if isinstance(whole, SelectiveState) else whole), *(self.online or ())]
        parts += [part for entry in self.cached for part in entry]
        parts += [self.x_sum] if isinstance(self.x_sum, Tensor) else []
        return sum(part[0].numel() for part in parts)


@dataclass(frozen=True)
class StreamState:
    """Everything a decoder needs of the past: the next position, and the state of each block."""

    position: int
    blocks: tuple[BlockState, ...]

    def numbers(self) -> int:
        """How many numbers a sequence's state holds, copies included."""
        return sum(block.numbers() for block in self.blocks)


def add(memory: Memory | None, k: Tensor, v: Tensor) -> Memory:
    """A memory that has taken up phi(k) [B, H, K] and v [B, H, V]."""
    written = (k[..., :, None] * v[..., None, :], k)
    return written if memory is None else (memory[0] + written[0], memory[1] + written[1])


def answer(memory: Memory, q: Tensor) -> Tensor:
    """The normalised read of one memory with phi(q) [B, H, K], [B, H, V]."""
    z = (q * memory[1]).sum(-1, keepdim=True).clamp_min(EPS)
    return torch.einsum("bhk,bhkv->bhv", q, memory[0]) / z


def step_linear(block: nn.Module, x: Tensor, state: BlockState) -> tuple[Tensor, BlockState]:
    """One step of a linear-attention block: x [B, d] -> x [B, d] and the state after it."""
    config, mixer = block.config, block.mixer
    h = block.norm(x)
    q, k, v = (part[:, 0] for part in mixer.heads_of(h[:, None]))
    whole = add(state.whole, k, v)
    if block.gate is None:
        return x + mixer.o_proj(answer(whole, q).flatten(-2)), replace(state, whole=whole)
    released = config.cache == "released"
    seen = x if released else h
    online = add(state.online, k, v)
    x_sum, filled = state.x_sum + seen, state.filled + 1
    held = [*state.cached, (*online, x_sum / filled)]
    gates = block.gate.weigh(seen, torch.stack([mean for *_, mean in held], 1))
    how = {"soup": config.aggregate == "soup", "normalise": config.normalised}
    if released:
        stream = gates[:, -1:] * (x + mixer.o_proj(answer(whole, q).flatten(-2)))
        y = stream + read(q, held[:-1], gates[:, :-1], **how).flatten(-2) if state.cached else stream
    else:
        y = x + mixer.o_proj(read(q, held, gates, **how).flatten(-2))
    if filled == config.segment:
        kept = online if config.mode == "checkpoint" else None
        return y, BlockState(whole, kept, (*state.cached, (*online, x_sum / filled)))
    return y, BlockState(whole, online, state.cached, x_sum, filled)


def step_selective(block: nn.Module, x: Tensor, state: BlockState) -> tuple[Tensor, BlockState]:
    """One step of a selective block: x [B, d] -> x [B, d] and the state after it."""
    config, alone = block.config, x.new_ones(x.shape[0], 1)
    h = block.norm(x)
    if block.gate is None:
        y, whole = step_scan(block.mixer, h, alone, (), state.whole)
        return x + y, replace(state, whole=whole)
    released = config.cache == "released"
    seen = x if released else h
    x_sum, filled = state.x_sum + seen, state.filled + 1
    means = [mean for *_, mean in state.cached] + [x_sum / filled]
    gates = block.gate.weigh(seen, torch.stack(means, 1))
    if released:
        y, whole = step_scan(block.mixer, h, alone, (), state.whole)
        end = x + y
        held = [output for output, _ in state.cached] + [end]
        out = (gates[..., None] * torch.stack(held, 1)).sum(1)
    else:
        y, whole = step_scan(block.mixer, h, gates, [kept for kept, _ in state.cached], state.whole)
        out, end = x + y, whole.states
    if filled == config.segment:
        return out, BlockState(whole, None, (*state.cached, (end, x_sum / filled)))
    return out, BlockState(whole, None, state.cached, x_sum, filled)


def step_scan(
    mixer: nn.Module, h: Tensor, gates: Tensor, cached: list[Tensor], state: SelectiveState | None
) -> tuple[Tensor, SelectiveState]:
    """One step of a CachedSelectiveSSM: h [B, d], gates [B, n + 1] over n cached states [B, E, N] and the current."""
    from lib.kernels import selective_scan
    from lib.models.gated_delta_net import short_convolution

    inner, gate = mixer.in_proj(h).chunk(2, dim=-1)
    inner, window = short_convolution(inner[:, None], mixer.conv, None if state is None else state.window)
    inner = F.silu(inner + mixer.conv_bias)
    low_rank, write, query = mixer.x_proj(inner).split([mixer.dt_rank, mixer.state_size, mixer.state_size], dim=-1)
    y, states = selective_scan(
        inner,
        F.softplus(mixer.dt_proj(low_rank)),
        -mixer.A_log.exp(),
        write.contiguous(),
        query.contiguous(),
        torch.zeros_like(mixer.D),
        initial_state=None if state is None else state.states,
        impl=mixer.impl,
    )
    y = gates[:, -1:] * y[:, 0]
    for weight, kept in zip(gates[:, :-1].unbind(-1), cached, strict=True):
        y = y + weight[:, None] * (kept @ query[:, 0, :, None])[..., 0]
    return mixer.o_proj((y + mixer.D * inner[:, 0]) * F.silu(gate)), SelectiveState(states, window)


STEPS = {"linear_attention": step_linear, "selective_ssm": step_selective}
