"""A decoder that reads: a small text encoder, trained with it, whose states its cross-attention looks at."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.errors import BookError
from lib.models.hybrid import HybridDecoder
from lib.models.hybrid_config import HybridConfig
from lib.models.layers import RMSNorm

LETTERS = "abcdefghijklmnopqrstuvwxyz '"


def letter_ids(text: str) -> Tensor:
    """A text as ids [S]: 1 to 28 for letters, space and apostrophe, the rest dropped; 0 is left for padding.

    Raises BookError when no letter is left. Used by chapter 10.
    """
    ids = [1 + LETTERS.index(letter) for letter in text.lower() if letter in LETTERS]
    if not ids:
        raise BookError(f"text {text!r} has no letter to read; give each clip its words")
    return torch.tensor(ids)


class TextEncoder(nn.Module):
    """Letters to states: an embedding, the place of each letter as sines, and convolutions that see its neighbours.

    width: size E of the states. layers: residual convolutions, each over 5 letters. Source: the sines are those of
    Vaswani et al., Attention is all you need (2017), section 3.5. Used by chapter 10.
    """

    def __init__(self, width: int, generator: torch.Generator, layers: int = 2) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(len(LETTERS) + 1, width, generator=generator))
        self.filters = nn.ParameterList(
            torch.randn(width, width, 5, generator=generator) / (5 * width) ** 0.5 for _ in range(layers)
        )
        self.norm = RMSNorm(width, 1e-5)

    def forward(self, ids: Tensor, lengths: Tensor | None = None) -> Tensor:
        """ids [B, S] -> states [B, S, E]; what lies beyond a row's length does not reach the states before it."""
        real = torch.ones_like(ids, dtype=torch.bool)
        if lengths is not None:
            real = torch.arange(ids.shape[1], device=ids.device) < lengths.to(ids.device)[:, None]
        keep = real[..., None].to(self.embedding.dtype)
        x = F.embedding(ids, self.embedding) * keep
        for weight in self.filters:
            x = (x + F.gelu(F.conv1d(x.transpose(1, 2), weight, padding=2)).transpose(1, 2)) * keep
        return self.norm(x + places(ids.shape[1], x.shape[2]).to(x))


def places(count: int, width: int) -> Tensor:
    """Sines and cosines [count, width] of place / 10,000^(2 i / width), interleaved."""
    angle = torch.arange(count)[:, None] / 10_000 ** (torch.arange(0, width, 2) / width)
    return torch.stack((angle.sin(), angle.cos()), dim=2).flatten(1)[:, :width]


class TextReader(nn.Module):
    """A hybrid decoder with cross-attention and its text encoder, trained as one by `lib.trainers.train`.

    gate: where the gates of cross-attention start, through tanh. At 0 the text is silent and no weight behind the gate
    learns until it has moved; 1 lets three quarters through from the first step.
    Raises BookError for a config without cross-attention. Used by chapter 10.
    """

    def __init__(self, config: HybridConfig, generator: torch.Generator, gate: float = 1.0) -> None:
        super().__init__()
        if not config.cross_attention:
            raise BookError("cross_attention=() leaves no block that reads; name the layers that shall")
        self.config = config
        self.decoder = HybridDecoder(config, generator)
        self.encoder = TextEncoder(config.text_width, generator)
        for block in self.decoder.blocks:
            if block.cross is not None:
                nn.init.constant_(block.cross.gate, gate)

    def forward(
        self, tokens: Tensor, lengths: Sequence[int] | Tensor | None, text: Tensor, text_lengths: Tensor | None = None
    ) -> Tensor:
        """tokens [B, K, T] and letters [B, S] -> logits [B, K, T, V]."""
        return self.decoder(tokens, lengths, self.encoder(text, text_lengths), text_lengths)

    def gates(self) -> list[float]:
        """How far each gate is open, tanh of its weight: 0 shut, 1 open."""
        return [float(b.cross.gate.detach().tanh()) for b in self.decoder.blocks if b.cross is not None]
