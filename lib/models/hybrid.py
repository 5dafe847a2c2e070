"""A decoder over parallel codebooks whose layers mix a gated delta recurrence with attention.

Left out of the posts' code: its key mask (padding on the right cannot reach a causal mixer, see span.py), its scan over
padding, and its sampler that runs the whole prefix again for every step: `prefill` and `step` carry a state.

    with torch.device("meta"):
        HybridDecoder(HybridConfig.music_300m()).component_counts()["total"]    # 294263072
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.errors import BookError
from lib.models.attention import Attention, AttentionState, CrossAttention, TextState, rotary_table
from lib.models.gated_delta_net import MIXERS, DeltaState
from lib.models.hybrid_config import HybridConfig
from lib.models.layers import FeedForward, Linear, RMSNorm
from lib.models.span import Span, span_of


@dataclass(frozen=True)
class DecoderState:
    """Everything a decoder needs of the past: the next position, a state per layer, text keys and values per layer."""

    position: int
    layers: tuple[AttentionState | DeltaState, ...]
    text: tuple[TextState | None, ...]


class Block(nn.Module):
    """x + mixer(norm(x)), then cross-attention where the layer has it, then x + ffn(norm(x))."""

    def __init__(self, config: HybridConfig, layer: int) -> None:
        super().__init__()
        self.mixer_norm = RMSNorm(config.width, config.norm_eps)
        self.mixer = Attention(config) if config.attends(layer) else MIXERS[config.mixer](config)
        crosses = layer in config.cross_attention
        self.cross_norm = RMSNorm(config.width, config.norm_eps) if crosses else None
        self.cross = CrossAttention(config) if crosses else None
        self.ffn_norm = RMSNorm(config.width, config.norm_eps)
        self.ffn = FeedForward(config.width, config.ffn_width, config.ffn)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        span: Span,
        table: tuple[Tensor, Tensor] | None,
        state: AttentionState | DeltaState | None,
        text: TextState | None,
    ) -> tuple[Tensor, AttentionState | DeltaState]:
        """x [N, d] packed by span -> [N, d], and the mixer's state after these steps."""
        place = (span, table) if isinstance(self.mixer, Attention) else (span,)
        mixed, state = self.mixer(self.mixer_norm(x), *place, state)
        x = x + self.dropout(mixed)
        if text is not None:
            x = x + self.cross(self.cross_norm(x), span, text)
        return x + self.dropout(self.ffn(self.ffn_norm(x))), state


class HybridDecoder(nn.Module):
    """The decoder of a HybridConfig: K summed embeddings, blocks, a final norm, K untied heads.

    generator: draws the initial weights, on the CPU; None stands for a new one with seed 0. Weights start as in the
    speech post: embeddings N(0, 0.02), maps into the residual stream multiplied by 1 / sqrt(2 L).
    Source: the posts on speech and music. Used by chapters 07, 09 and 10.
    """

    def __init__(self, config: HybridConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.zeros(config.codebooks, config.vocabulary, config.width))
        learned = config.positions == "learned"
        self.position = nn.Parameter(torch.zeros(config.max_positions, config.width)) if learned else None
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(1, config.layers + 1))
        self.final_norm = RMSNorm(config.width, config.norm_eps)
        self.heads = Linear(config.width, config.codebooks * config.vocabulary, bias=False)
        self.initialise(generator or torch.Generator().manual_seed(0))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw every weight anew from the generator."""
        residual_scale = 1 / math.sqrt(2 * self.config.layers)
        with torch.no_grad():
            for table in (self.embedding, self.position):
                if table is not None and not table.is_meta:
                    table.normal_(0, 0.02, generator=generator)
            if self.config.pad is not None:
                self.embedding[:, self.config.pad] = 0
        for block in self.blocks:
            block.mixer.initialise(generator, residual_scale)
            block.ffn.initialise(generator, residual_scale)
            if block.cross is not None:
                block.cross.initialise(generator)
        self.heads.initialise(generator)

    def forward(
        self,
        tokens: Tensor,
        lengths: Sequence[int] | Tensor | None = None,
        text: Tensor | None = None,
        text_lengths: Tensor | None = None,
    ) -> Tensor:
        """Logits of the next step for every step.

        tokens: [B, K, T] integers. lengths: real steps of each row; padding follows them and is not computed.
        text: [B, S, text_width] states for cross-attention, or None for none; text_lengths: [B].
        Returns [B, K, T, V]; zeros at padding.
        Raises BookError for tokens of another shape, tokens outside the vocabulary, or lengths outside 1..T.
        """
        self.check_tokens(tokens)
        span = span_of(tokens.shape[0], tokens.shape[2], lengths, tokens.device)
        x, _ = self.hidden(tokens[:, :, : span.time], span, None, self.read_text(text, text_lengths))
        logits = self.by_codebook(span.pad(self.heads(x)))
        trimmed = tokens.shape[2] - span.time
        return F.pad(logits, (0, 0, 0, trimmed)) if trimmed else logits

    def prefill(
        self, tokens: Tensor, text: Tensor | None = None, text_lengths: Tensor | None = None
    ) -> tuple[Tensor, DecoderState]:
        """Read a prompt [B, K, T]; return its logits [B, K, T, V] and the state from which `step` goes on."""
        self.check_tokens(tokens)
        return self.resume(tokens, None, self.read_text(text, text_lengths))

    def step(self, tokens: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Read one more step [B, K]; return its logits [B, K, V] and the new state. The given state stays as it was."""
        self.check_tokens(tokens[..., None])
        logits, state = self.resume(tokens[..., None], state, state.text)
        return logits[:, :, 0], state

    def resume(
        self, tokens: Tensor, state: DecoderState | None, text: tuple[TextState | None, ...]
    ) -> tuple[Tensor, DecoderState]:
        """Read tokens [B, K, T] after a state (None: at the start)."""
        start = 0 if state is None else state.position
        span = Span(tokens.shape[0], tokens.shape[2], start)
        x, layers = self.hidden(tokens, span, None if state is None else state.layers, text)
        return self.by_codebook(span.pad(self.heads(x))), DecoderState(start + span.time, layers, text)

    def hidden(
        self, tokens: Tensor, span: Span, states: tuple | None, text: tuple[TextState | None, ...]
    ) -> tuple[Tensor, tuple[AttentionState | DeltaState, ...]]:
        """Tokens [B, K, T] -> normed residual stream [N, d] at the real positions, and the states of all layers."""
        config = self.config
        x = self.embed(span.pack(tokens.transpose(1, 2)), span)
        table = None
        if config.positions == "rotary":
            table = rotary_table(span.start, span.time, config.head_size, config.rotary_theta, tokens.device)
        after = []
        for block, state, block_text in zip(self.blocks, states or [None] * config.layers, text, strict=True):
            x, state = block(x, span, table, state, block_text)
            after.append(state)
        return self.final_norm(x), tuple(after)

    def embed(self, tokens: Tensor, span: Span) -> Tensor:
        """Tokens [N, K] -> the sum of their K embeddings [N, d]; the pad token adds nothing and learns nothing."""
        tables = zip(tokens.unbind(-1), self.embedding.unbind(), strict=True)
        x = sum(F.embedding(column, table, padding_idx=self.config.pad) for column, table in tables)
        if self.position is None:
            return x
        if span.start + span.time > self.config.max_positions:
            end, top = span.start + span.time, self.config.max_positions
            raise BookError(f"{end} steps are more than max_positions={top}; raise it, or use rotary positions")
        places = torch.arange(span.start, span.start + span.time, device=tokens.device).repeat(span.batch)
        return x + self.position[span.pack(places.view(span.batch, span.time))]

    def read_text(self, text: Tensor | None, text_lengths: Tensor | None) -> tuple[TextState | None, ...]:
        """Text keys and values of each layer; None where a layer has no cross-attention or no text is given."""
        if text is not None and not self.config.cross_attention:
            raise BookError("text was given to a decoder without cross-attention; set cross_attention and text_width")
        return tuple(None if text is None or b.cross is None else b.cross.read(text, text_lengths) for b in self.blocks)

    def by_codebook(self, logits: Tensor) -> Tensor:
        """[B, T, K * V] -> [B, K, T, V]."""
        return logits.unflatten(-1, (self.config.codebooks, self.config.vocabulary)).transpose(1, 2)

    def check_tokens(self, tokens: Tensor) -> None:
        """Refuse tokens that are not [B, K, T] integers of the vocabulary; on a GPU the last is left to the lookup."""
        codebooks, vocabulary = self.config.codebooks, self.config.vocabulary
        if tokens.dim() != 3 or tokens.shape[1] != codebooks or 0 in tokens.shape:
            raise BookError(
                f"tokens have shape {list(tokens.shape)}; this decoder reads [B, {codebooks}, T], none of them 0"
            )
        if tokens.is_floating_point():
            raise BookError(f"tokens are {tokens.dtype}; they must be integers")
        if tokens.device.type == "cpu" and not 0 <= int(tokens.min()) <= int(tokens.max()) < vocabulary:
            seen = f"{int(tokens.min())} to {int(tokens.max())}"
            raise BookError(f"tokens run from {seen}; the vocabulary has 0 to {vocabulary - 1}")

    def component_counts(self) -> dict[str, int]:
        """Parameters of each component; `backbone` is all blocks, `heads` holds the final norm, `total` is all."""
        backbone = ("recurrent", "attention", "cross_attention", "ffn", "norms")
        counts = dict.fromkeys(backbone, 0)
        for block in self.blocks:
            mixer = "attention" if isinstance(block.mixer, Attention) else "recurrent"
            parts = {mixer: block.mixer, "ffn": block.ffn, "cross_attention": block.cross}
            for name, part in parts.items():
                counts[name] += 0 if part is None else sum(p.numel() for p in part.parameters())
            norms = (block.mixer_norm, block.ffn_norm, block.cross_norm)
            counts["norms"] += sum(norm.weight.numel() for norm in norms if norm is not None)
        counts["backbone"] = sum(counts[name] for name in backbone)
        counts["embeddings"] = self.embedding.numel()
        counts["positions"] = 0 if self.position is None else self.position.numel()
        counts["heads"] = self.final_norm.weight.numel() + self.heads.weight.numel()
        counts["total"] = sum(counts[name] for name in ("backbone", "embeddings", "positions", "heads"))
        return counts
