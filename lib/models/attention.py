"""Grouped-query attention with rotary positions, its key-value cache, and cross-attention to text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.errors import BookError
from lib.models.hybrid_config import HybridConfig
from lib.models.layers import Linear, RMSNorm
from lib.models.span import Span


@dataclass(frozen=True)
class AttentionState:
    """What attention has seen: keys (rotated) and values, each [B, G, t, D], G key-value heads."""

    keys: Tensor
    values: Tensor


def rotary_table(start: int, time: int, size: int, theta: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine, each [time, size / 2], of position * theta^(-2 i / size).

    Source: Su et al., RoFormer (2021), equation 15. Used by chapters 07, 09 and 10.
    """
    frequency = theta ** (-torch.arange(0, size, 2, device=device, dtype=torch.float32) / size)
    angle = torch.arange(start, start + time, device=device, dtype=torch.float32)[:, None] * frequency
    return angle.cos(), angle.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair (x_2i, x_2i+1) of x [B, T, H, D] by its angle, in float32 at least; pairs are interleaved."""
    cosine, sine = (part[:, None] for part in table)
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1).flatten(-2).to(x.dtype)


class Attention(nn.Module):
    """Causal self-attention: `heads` queries share `kv_heads` keys and values; RMSNorm on each query and key head.

    Source: Ainslie et al., GQA (2023); Henry et al., Query-Key Normalization (2020). Used by chapters 07, 09 and 10.
    """

    def __init__(self, config: HybridConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_size = config.heads, config.kv_heads, config.head_size
        self.q_proj = Linear(config.width, self.heads * self.head_size, bias=False)
        self.k_proj = Linear(config.width, self.kv_heads * self.head_size, bias=False)
        self.v_proj = Linear(config.width, self.kv_heads * self.head_size, bias=False)
        self.o_proj = Linear(self.heads * self.head_size, config.width, bias=False)
        self.q_norm = RMSNorm(self.head_size, config.norm_eps) if config.qk_norm else nn.Identity()
        self.k_norm = RMSNorm(self.head_size, config.norm_eps) if config.qk_norm else nn.Identity()

    def initialise(self, generator: torch.Generator, residual_scale: float) -> None:
        """Default linear weights; the map back into the residual stream is multiplied by residual_scale."""
        for projection in (self.q_proj, self.k_proj, self.v_proj):
            projection.initialise(generator)
        self.o_proj.initialise(generator, residual_scale)

    def forward(
        self, x: Tensor, span: Span, table: tuple[Tensor, Tensor] | None, state: AttentionState | None
    ) -> tuple[Tensor, AttentionState]:
        """x [N, d] packed by span; table: rotary cosines and sines or None; state: what came before, or None.

        Returns y [N, d] and the state after these steps.
        """
        query = self.q_norm(span.pad(self.q_proj(x)).unflatten(-1, (self.heads, self.head_size)))
        key = self.k_norm(span.pad(self.k_proj(x)).unflatten(-1, (self.kv_heads, self.head_size)))
        value = span.pad(self.v_proj(x)).unflatten(-1, (self.kv_heads, self.head_size))
        if table is not None:
            query, key = rotate(query, table), rotate(key, table)
        query, key, value = (part.transpose(1, 2) for part in (query, key, value))
        if state is not None:
            key, value = torch.cat((state.keys, key), dim=2), torch.cat((state.values, value), dim=2)
        mask = causal_mask(span.time, key.shape[2], x.device)
        y = F.scaled_dot_product_attention(query, key, value, enable_gqa=True, **mask)
        y = span.pack(y.transpose(1, 2).flatten(-2))
        return self.o_proj(y), AttentionState(key, value)


def causal_mask(steps: int, seen: int, device: torch.device) -> dict[str, object]:
    """How scaled_dot_product_attention is told that `steps` queries end where `seen` keys end."""
    if steps == seen:
        return {"is_causal": True}
    if steps == 1:
        return {}
    return {"attn_mask": torch.ones(steps, seen, dtype=torch.bool, device=device).tril(seen - steps)}


@dataclass(frozen=True)
class TextState:
    """Keys and values of the text for one block, each [B, H, S, D], and which positions are text: mask [B, 1, 1, S]."""

    keys: Tensor
    values: Tensor
    mask: Tensor | None


class CrossAttention(nn.Module):
    """Attention from decoder positions to text states, times tanh(gate); the gate starts at 0, so it starts silent.

    Source: Alayrac et al., Flamingo (2022), section 2.2, for the gate. Used by chapter 10.
    """

    def __init__(self, config: HybridConfig) -> None:
        super().__init__()
        self.heads, self.head_size = config.heads, config.head_size
        self.q_proj = Linear(config.width, config.width, bias=False)
        self.k_proj = Linear(config.text_width, config.width, bias=False)
        self.v_proj = Linear(config.text_width, config.width, bias=False)
        self.o_proj = Linear(config.width, config.width, bias=False)
        self.gate = nn.Parameter(torch.zeros(()))

    def initialise(self, generator: torch.Generator) -> None:
        """Default linear weights; the gate stays at 0."""
        for projection in (self.q_proj, self.k_proj, self.v_proj, self.o_proj):
            projection.initialise(generator)

    def read(self, text: Tensor, text_lengths: Tensor | None) -> TextState:
        """Turn text states [B, S, E] into keys and values, once for all steps; text_lengths [B], each at least 1."""
        shape = (self.heads, self.head_size)
        keys = self.k_proj(text).unflatten(-1, shape).transpose(1, 2)
        values = self.v_proj(text).unflatten(-1, shape).transpose(1, 2)
        if text_lengths is None:
            return TextState(keys, values, None)
        if int(text_lengths.min()) < 1 or int(text_lengths.max()) > text.shape[1]:
            raise BookError(f"text_lengths is {text_lengths.tolist()}; each must lie in 1..{text.shape[1]}")
        real = torch.arange(text.shape[1], device=text.device) < text_lengths.to(text.device)[:, None]
        return TextState(keys, values, real[:, None, None])

    def forward(self, x: Tensor, span: Span, text: TextState) -> Tensor:
        """x [N, d] packed by span -> [N, d]."""
        query = span.pad(self.q_proj(x)).unflatten(-1, (self.heads, self.head_size)).transpose(1, 2)
        y = F.scaled_dot_product_attention(query, text.keys, text.values, attn_mask=text.mask)
        return self.gate.tanh() * self.o_proj(span.pack(y.transpose(1, 2).flatten(-2)))
