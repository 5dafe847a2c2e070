"""Drawing the next step of parallel codebooks: penalty, temperature, top-k and top-p, each with a schedule; best of n.

Left out of the speech post's sampler: a prefix that is run again for every step (the decoder keeps a state), a start
from a token that training never showed, and options whose explicit 0 is taken for "not given".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lib.errors import BookError

if TYPE_CHECKING:
    from lib.models.hybrid import HybridDecoder


@dataclass(frozen=True)
class SamplingConfig:
    """How to draw. Pairs run linearly from the first codebook to the last. The defaults are the speech post's."""

    temperature: tuple[float, float] = (0.72, 0.55)
    """Divides the logits; 0 takes the likeliest token."""
    top_k: tuple[int, int] = (48, 24)
    """Tokens that are kept, the likeliest; 0 keeps all."""
    top_p: float = 0.9
    """Smallest set of likeliest tokens with this much probability is kept; 1 keeps all."""
    penalty: float = 1.08
    """Logits of tokens drawn lately are divided by it when positive and multiplied when negative; 1 does nothing."""
    memory: int = 48
    """Steps that count as lately."""
    best_of: int = 1
    """Candidates a sample; the one with the highest mean log-probability is kept. The post's last bundle has 3."""

    def __post_init__(self) -> None:
        if min(self.temperature) < 0:
            raise BookError(f"temperature={self.temperature}; 0 takes the likeliest token, less has no meaning")
        if min(self.top_k) < 0:
            raise BookError(f"top_k={self.top_k}; 0 keeps all tokens, less has no meaning")
        if not 0 < self.top_p <= 1:
            raise BookError(f"top_p={self.top_p}; it is a share in (0, 1]")
        if self.penalty <= 0 or self.memory < 0:
            raise BookError(
                f"penalty={self.penalty}, memory={self.memory}; give a penalty above 0 and a memory of 0 or more"
            )
        if self.best_of < 1:
            raise BookError(f"best_of={self.best_of}; it must be at least 1")

    @classmethod
    def plain(cls) -> SamplingConfig:
        """The model's own distribution: temperature 1, nothing cut, no penalty."""
        return cls((1.0, 1.0), (0, 0), 1.0, 1.0, 0)


def schedule(ends: tuple[float, float], codebooks: int) -> list[float]:
    """A value per codebook, linear from the first end to the second."""
    first, last = ends
    return [first + (last - first) * k / max(1, codebooks - 1) for k in range(codebooks)]


def penalise(logits: Tensor, recent: Tensor, penalty: float) -> Tensor:
    """Logits [B, V] with those of the recent tokens [B, n] made smaller, each once however often it came.

    Source: Keskar et al., CTRL (2019), section 4.1, in the form that spares the sign. Used by chapter 10.
    """
    if penalty == 1 or not recent.shape[1]:
        return logits
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, recent, True)
    return torch.where(seen, torch.where(logits > 0, logits / penalty, logits * penalty), logits)


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Logits [B, V], -inf below the k-th; 0 keeps all. Equal logits at the edge stay together."""
    if not 0 < k < logits.shape[1]:
        return logits
    edge = logits.topk(k, dim=1).values[:, -1:]
    return logits.masked_fill(logits < edge, -torch.inf)


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Logits [B, V], -inf outside the smallest set of likeliest tokens whose probability reaches p; never empty.

    Source: Holtzman et al., The Curious Case of Neural Text Degeneration (2020), section 3.1. Used by chapter 10.
    """
    if p >= 1:
        return logits
    ordered, places = logits.sort(dim=1, descending=True)
    chance = ordered.softmax(1)
    dropped = chance.cumsum(1) - chance >= p
    return logits.masked_fill(torch.zeros_like(dropped).scatter_(1, places, dropped), -torch.inf)


def filtered(logits: Tensor, recent: Tensor, codebook: int, codebooks: int, config: SamplingConfig) -> Tensor:
    """Log-probabilities [B, V] from which a codebook is drawn: penalty, temperature, top-k, top-p, in this order."""
    logits = penalise(logits.double(), recent, config.penalty)
    temperature = schedule(config.temperature, codebooks)[codebook]
    if temperature == 0:
        best = logits.argmax(1, keepdim=True)
        return torch.full_like(logits, -torch.inf).scatter_(1, best, 0.0)
    kept = keep_top_k(logits / temperature, round(schedule(config.top_k, codebooks)[codebook]))
    return keep_top_p(kept, config.top_p).log_softmax(1)


@torch.no_grad()
def sample(
    model: HybridDecoder,
    frames: int,
    config: SamplingConfig,
    *,
    generator: torch.Generator,
    size: int,
    prompt: Tensor | None = None,
    count: int = 1,
    text: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw `count` samples of so many frames in the delay pattern, prompt included.

    size: codes per codebook; the special tokens above it are never drawn. prompt: codes [K, P] that every sample begins
    with, at least one frame, known in every codebook from its own step on. text: [S, E] states for cross-attention.
    Returns codes [count, K, frames] and the mean log-probability [count] of the drawn tokens under the filtered
    distribution. Raises BookError for a prompt that is none or leaves nothing to draw.
    """
    books, pad = model.config.codebooks, model.config.pad
    if prompt is None or prompt.dim() != 2 or prompt.shape[0] != books or not 1 <= prompt.shape[1] < frames:
        shape = None if prompt is None else list(prompt.shape)
        raise BookError(f"prompt {shape}; give codes [{books}, P] with 1 <= P < {frames} frames")
    rows = count * config.best_of
    steps = frames + books - 1
    drawn = torch.full((rows, books, steps), pad, dtype=torch.long)
    score, number = torch.zeros(rows, dtype=torch.double), 0
    text = None if text is None else text.expand(rows, *text.shape)
    was_training = model.training
    model.eval()
    state, logits = None, None
    for step in range(steps):
        for k in range(books):
            frame = step - k
            if 0 <= frame < prompt.shape[1]:
                drawn[:, k, step] = prompt[k, frame]
            elif 0 <= frame < frames:
                recent = drawn[:, k, max(k, step - config.memory) : step]
                chances = filtered(logits[:, k, :size], recent, k, books, config)
                token = torch.multinomial(chances.exp(), 1, generator=generator)
                drawn[:, k, step] = token[:, 0]
                score += chances.gather(1, token)[:, 0]
                number += 1
        if step + 1 < steps:
            logits, state = advance(model, drawn[:, :, step], state, text)
    model.train(was_training)
    codes = torch.stack([drawn[:, k, k : k + frames] for k in range(books)], dim=1)
    score = (score / max(1, number)).view(count, config.best_of)
    best = score.argmax(1)
    return codes.view(count, config.best_of, books, frames)[torch.arange(count), best], score.amax(1)


def advance(model: HybridDecoder, tokens: Tensor, state: object, text: Tensor | None) -> tuple[Tensor, object]:
    """One step further: logits [B, K, V] after the tokens [B, K]."""
    if state is None:
        logits, state = model.prefill(tokens[:, :, None], text)
        return logits[:, :, 0], state
    return model.step(tokens, state)
