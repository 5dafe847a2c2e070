"""Decoders whose recurrent layers also read what they held at the end of earlier segments: memory caching.

Two forms stand behind one switch. `faithful` is the paper's: gates weigh the reads of a memory, before the map back
into the residual stream. `released` is what the post's repository computes: gates weigh the residual stream itself,
the cached reads are added un-normalised and without that map, and the gates see the stream without a norm.

    with torch.device("meta"):
        parameters(CachedMemoryDecoder(CachedMemoryConfig.released_class()))    # 78698496
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.errors import BookError
from lib.kernels import memory_gates
from lib.kernels.memory import MemoryState, segment_reads
from lib.kernels.memory.naive import token_gates
from lib.models.cached_stream import STEPS, BlockState, StreamState
from lib.models.layers import Linear, RMSNorm, fill_xavier

CHOICES = {
    "mixer": ("linear_attention", "selective_ssm"),
    "cache": ("none", "faithful", "released"),
    "mode": ("checkpoint", "independent"),
    "aggregate": ("gated", "residual", "soup", "sparse"),
    "gates": ("learned", "frozen", "uniform"),
}


@dataclass(frozen=True)
class CachedMemoryConfig:
    """A stack of pre-norm blocks with a linear memory each, without feed-forward networks, as the post released it.

    The defaults are the released class's. Raises BookError when fields do not fit together. Used by chapter 08.
    """

    codebooks: int = 9
    """Parallel token streams K."""
    vocabulary: int = 1027
    """Tokens per codebook V."""
    width: int = 768
    """Size d of the residual stream."""
    layers: int = 20
    """Blocks L."""
    heads: int = 12
    """Heads of linear attention; a selective SSM has none."""
    key_size: int | None = None
    """Key size of a head; None: d / heads. A head's memory is key_size x (d / heads)."""
    state_size: int = 64
    """Numbers per channel that a selective SSM keeps."""
    mixer: Literal["linear_attention", "selective_ssm"] = "linear_attention"
    """The recurrent layer."""
    cache: Literal["none", "faithful", "released"] = "released"
    """No cache; the paper's; the post's code, which for a selective SSM caches the block's output, not its state."""
    segment: int = 256
    """Tokens between cached states S."""
    start_layer: int = 0
    """First block, counted from 0, that has a cache."""
    aggregate: Literal["gated", "residual", "soup", "sparse"] = "gated"
    """How cached reads are put together; see lib.kernels.gated_residual_memory."""
    top_k: int | None = None
    """Cached segments that "sparse" reads."""
    mode: Literal["checkpoint", "independent"] = "checkpoint"
    """Whether the memory is carried on from segment to segment or begins empty."""
    normalise: bool | None = None
    """Divide cached reads by Z; None: as the form does, yes for faithful and no for released."""
    gates: Literal["learned", "frozen", "uniform"] = "learned"
    """W_u learned; at its random start for ever; or no W_u, so that all visible segments weigh the same."""
    gate_gain: float = 1.0
    """Factor on the start of W_u."""
    gate_bias: float | None = None
    """Start of a learned bias on the scores of cached segments; None: there is none, as in the released class."""
    xavier: bool = False
    """Queries, keys and values of linear attention start within sqrt(3 / d), as the released code's growth shows its
    do, rather than within 1 / sqrt(d), the framework's default."""
    max_positions: int = 8192
    """Rows of the learned positions; 0: none."""
    tied: bool = True
    """The first head is the first embedding."""
    norm_eps: float = 1e-5
    """Added under the root of every RMSNorm."""

    def __post_init__(self) -> None:
        for name in ("codebooks", "vocabulary", "width", "layers", "heads", "state_size", "segment"):
            require(getattr(self, name) >= 1, f"{name}={getattr(self, name)}; it must be at least 1")
        for name, known in CHOICES.items():
            require(getattr(self, name) in known, f"{name}={getattr(self, name)!r}; use one of {', '.join(known)}")
        require(self.width % self.heads == 0, f"width={self.width} does not divide into heads={self.heads}; change one")
        require(self.key_size is None or self.key_size >= 1, f"key_size={self.key_size}; give 1 or more, or None")
        inside = 0 <= self.start_layer < self.layers
        require(inside, f"start_layer={self.start_layer}; blocks are 0..{self.layers - 1}")
        fits = (self.aggregate == "sparse") == (self.top_k is not None)
        require(
            fits, f"top_k={self.top_k} with aggregate={self.aggregate!r}; give top_k for 'sparse', and for it alone"
        )
        plain = self.cache == "faithful" and self.mixer == "linear_attention"
        require(plain or self.aggregate == "gated", f"aggregate={self.aggregate!r} needs the faithful linear attention")
        plain = self.mixer == "linear_attention" or self.mode == "checkpoint"
        require(plain, "mode='independent' is for linear attention; the state of a selective SSM is carried on")

    @property
    def head_keys(self) -> int:
        """Key size of a head."""
        return self.width // self.heads if self.key_size is None else self.key_size

    @property
    def normalised(self) -> bool:
        """Whether cached reads are divided by Z."""
        return self.cache == "faithful" if self.normalise is None else self.normalise

    def caches(self, layer: int) -> bool:
        """Whether a block, counted from 0, has a cache."""
        return self.cache != "none" and layer >= self.start_layer

    @classmethod
    def released_class(
        cls, mixer: Literal["linear_attention", "selective_ssm"] = "linear_attention", cache: bool = True
    ) -> CachedMemoryConfig:
        """The four classes of the post's repositories at their defaults.

        Linear attention has 66,902,016 parameters and 78,698,496 with the cache; the selective SSM 100,346,112 and
        111,353,856. Only the plain selective SSM leaves its first head untied.
        """
        untied = mixer == "selective_ssm" and not cache
        return cls(mixer=mixer, cache="released" if cache else "none", tied=not untied, xavier=True)


def require(holds: bool, message: str) -> None:
    """Raise BookError with the message unless the condition holds."""
    if not holds:
        raise BookError(message)


@dataclass(frozen=True)
class LayerTrace:
    """What a block did: its gates [B, T, N], None without a cache, and the RMS of the residual stream after it [T]."""

    gates: Tensor | None
    rms: Tensor


class SegmentGate(nn.Module):
    """Gates over cached segments and the current one: softmax of <W_u x_t, mean of x over i> / sqrt(d) + bias.

    Source: Behrouz et al., Memory Caching (2026), equations 8 to 10; the scale is the released code's. Chapter 08.
    """

    def __init__(self, config: CachedMemoryConfig) -> None:
        super().__init__()
        self.config = config
        self.u_proj = None if config.gates == "uniform" else Linear(config.width, config.width, bias=False)
        if config.gates == "frozen":
            self.u_proj.weight.requires_grad_(False)
        self.bias = None if config.gate_bias is None else nn.Parameter(torch.tensor(float(config.gate_bias)))

    def initialise(self, generator: torch.Generator) -> None:
        """W_u uniform within gain / sqrt(d); the bias starts where the config says."""
        if self.u_proj is not None:
            self.u_proj.initialise(generator, self.config.gate_gain)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, d] -> gates [B, T, N]. The bias acts through one-hot columns (kernel README, equation 18)."""
        config = self.config
        u = torch.zeros_like(x) if self.u_proj is None else self.u_proj(x) / math.sqrt(config.width)
        if self.bias is not None:
            segments = torch.arange(x.shape[1], device=x.device) // config.segment
            numbers = F.one_hot(segments).to(x.dtype).expand(x.shape[0], -1, -1)
            x, u = torch.cat((x, numbers), -1), torch.cat((u, -self.bias * numbers), -1)
        return memory_gates(u, x, segment=config.segment, aggregate=config.aggregate, top_k=config.top_k)

    def weigh(self, x: Tensor, means: Tensor) -> Tensor:
        """One token: x [B, d] and the means [B, n, d] of the cached segments and, last, the current -> gates [B, n]."""
        config = self.config
        u = torch.zeros_like(x) if self.u_proj is None else self.u_proj(x) / math.sqrt(config.width)
        scores = (u[:, None] * means).sum(-1)
        if self.bias is not None:
            scores = torch.cat((scores[:, :-1] + self.bias, scores[:, -1:]), -1)
        return token_gates(scores, config.aggregate, config.top_k)


class LinearAttention(nn.Module):
    """Queries, keys and values of linear attention, phi = elu + 1, and the map back into the residual stream."""

    def __init__(self, config: CachedMemoryConfig) -> None:
        super().__init__()
        self.heads, keys = config.heads, config.heads * config.head_keys
        self.xavier = config.xavier
        self.q_proj = Linear(config.width, keys, bias=False)
        self.k_proj = Linear(config.width, keys, bias=False)
        self.v_proj = Linear(config.width, config.width, bias=False)
        self.o_proj = Linear(config.width, config.width, bias=False)

    def initialise(self, generator: torch.Generator, residual_scale: float) -> None:
        """Default linear weights, or Xavier's into the memory; the map back is multiplied by residual_scale."""
        for projection in (self.q_proj, self.k_proj, self.v_proj):
            if self.xavier:
                fill_xavier(projection.weight, generator)
            else:
                projection.initialise(generator)
        self.o_proj.initialise(generator, residual_scale)

    def heads_of(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [B, T, d] -> phi(q), phi(k) [B, T, H, K] and v [B, T, H, V]."""
        q, k, v = (part(x).unflatten(-1, (self.heads, -1)) for part in (self.q_proj, self.k_proj, self.v_proj))
        return F.elu(q) + 1, F.elu(k) + 1, v

    def plain(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Normalised linear attention without a cache [B, T, d]: one segment as long as the sequence."""
        gates = q.new_ones(*q.shape[:2], 1)
        state = _empty(q, v)
        own, _, _ = segment_reads(q, k, v, gates, segment=q.shape[1], mode="checkpoint", normalise=True, state=state)
        return own.flatten(-2)


def _empty(q: Tensor, v: Tensor) -> MemoryState:
    return MemoryState.empty(q.shape[0], q.shape[2], q.shape[3], v.shape[3], 0, dtype=q.dtype, device=q.device)


class LinearAttentionBlock(nn.Module):
    """x + o(memory(norm(x))), with the cache of the config's form where the layer has one; no feed-forward network."""

    def __init__(self, config: CachedMemoryConfig, layer: int) -> None:
        super().__init__()
        self.config = config
        self.norm = RMSNorm(config.width, config.norm_eps)
        self.mixer = LinearAttention(config)
        self.gate = SegmentGate(config) if config.caches(layer) else None

    def forward(self, x: Tensor, gates: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """x [B, T, d]; gates [B, T, N] to use in place of the block's own, or None. Returns x and the gates used."""
        config = self.config
        h = self.norm(x)
        q, k, v = self.mixer.heads_of(h)
        if self.gate is None:
            return x + self.mixer.o_proj(self.mixer.plain(q, k, v)), None
        released = config.cache == "released"
        if gates is None:
            gates = self.gate(x if released else h)
        own, cached, _ = segment_reads(
            q,
            k,
            v,
            gates,
            segment=config.segment,
            mode=config.mode,
            normalise=config.normalised,
            soup=config.aggregate == "soup",
            state=_empty(q, v),
        )
        if not released:
            return x + self.mixer.o_proj((own + cached).flatten(-2)), gates
        stream = x + self.mixer.o_proj(self.mixer.plain(q, k, v))
        return current(gates, config.segment) * stream + cached.flatten(-2), gates


def current(gates: Tensor, segment: int) -> Tensor:
    """Of gates [B, T, N], the one of each token's own segment, [B, T, 1]."""
    own = torch.arange(gates.shape[1], device=gates.device) // segment
    return gates.gather(-1, own[None, :, None].expand(gates.shape[0], -1, 1))


class CachedMemoryDecoder(nn.Module):
    """The decoder of a CachedMemoryConfig: K summed embeddings, blocks, a final norm, K heads.

    generator: draws the initial weights, on the CPU; None stands for a new one with seed 0. Embeddings start as
    N(0, 0.02), maps into the residual stream multiplied by 1 / sqrt(2 L). Used by chapter 08.
    """

    def __init__(self, config: CachedMemoryConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.zeros(config.codebooks, config.vocabulary, config.width))
        rows = config.max_positions
        self.position = nn.Parameter(torch.zeros(rows, config.width)) if rows else None
        self.blocks = nn.ModuleList(block_of(config, layer) for layer in range(config.layers))
        self.final_norm = RMSNorm(config.width, config.norm_eps)
        untied = config.codebooks - config.tied
        self.heads = nn.Parameter(torch.zeros(untied, config.vocabulary, config.width)) if untied else None
        self.initialise(generator or torch.Generator().manual_seed(0))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw every weight anew from the generator."""
        with torch.no_grad():
            for table in (self.embedding, self.position, self.heads):
                if table is not None and not table.is_meta:
                    table.normal_(0, 0.02, generator=generator)
        for block in self.blocks:
            block.mixer.initialise(generator, 1 / math.sqrt(2 * self.config.layers))
            if block.gate is not None:
                block.gate.initialise(generator)

    def forward(self, tokens: Tensor, lengths: Sequence[int] | None = None, *, gates: Tensor | None = None) -> Tensor:
        """Logits [B, K, T, V] of tokens [B, K, T].

        lengths: not needed, since padding on the right cannot reach what is before it. gates: [B, T, N] for every
        layer with a cache, in place of its own. Raises BookError for tokens of another shape or too many steps.
        """
        return self.logits(self.hidden(tokens, gates=gates))

    def hidden(self, tokens: Tensor, *, gates: Tensor | None = None) -> Tensor:
        """Residual stream after the last block [B, T, d]."""
        x = self.embed(tokens)
        for block in self.blocks:
            x, _ = block(x, gates)
        return x

    def trace(self, tokens: Tensor, *, gates: Tensor | None = None) -> list[LayerTrace]:
        """Gates and size of the residual stream, layer by layer, for tokens [B, K, T]; no gradients."""
        traces = []
        with torch.no_grad():
            x = self.embed(tokens)
            for block in self.blocks:
                x, used = block(x, gates)
                traces.append(LayerTrace(used, x.square().mean((0, 2)).sqrt()))
        return traces

    def prefill(self, tokens: Tensor) -> tuple[Tensor, StreamState]:
        """Read a prompt [B, K, T] step by step; its logits [B, K, T, V] and the state from which `step` goes on."""
        require(tokens.dim() == 3 and 0 not in tokens.shape, f"tokens have shape {list(tokens.shape)}; give [B, K, T]")
        state = StreamState(0, tuple(BlockState() for _ in self.blocks))
        logits = []
        for column in tokens.unbind(-1):
            one, state = self.step(column, state)
            logits.append(one)
        return torch.stack(logits, 2), state

    def step(self, tokens: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """Read one more step [B, K]; its logits [B, K, V] and the new state. The given state stays as it was."""
        x = self.embed(tokens[..., None], state.position)[:, 0]
        after = []
        for block, kept in zip(self.blocks, state.blocks, strict=True):
            x, kept = STEPS[self.config.mixer](block, x, kept)
            after.append(kept)
        return self.logits(x[:, None])[:, :, 0], StreamState(state.position + 1, tuple(after))

    def embed(self, tokens: Tensor, start: int = 0) -> Tensor:
        """Tokens [B, K, T] -> the sum of their embeddings, and of their positions where there are any, [B, T, d].

        start: the position of the first of them.
        """
        config, shape = self.config, list(tokens.shape)
        require(tokens.dim() == 3 and shape[1] == config.codebooks, f"tokens have shape {shape}; give [B, K, T]")
        x = sum(F.embedding(tokens[:, k], self.embedding[k]) for k in range(config.codebooks))
        if self.position is None:
            return x
        room = self.position.shape[0]
        end = start + shape[2]
        require(end <= room, f"{end} steps are more than max_positions={room}; raise it")
        return x + self.position[start:end]

    def logits(self, x: Tensor) -> Tensor:
        """Residual stream [..., T, d] -> logits [..., K, T, V]."""
        heads = self.embedding[:1] if self.config.tied else self.embedding[:0]
        heads = heads if self.heads is None else torch.cat((heads, self.heads))
        return torch.einsum("...td,kvd->...ktv", self.final_norm(x), heads)


def block_of(config: CachedMemoryConfig, layer: int) -> nn.Module:
    """The block of a layer, counted from 0."""
    if config.mixer == "linear_attention":
        return LinearAttentionBlock(config, layer)
    from lib.models.cached_ssm import SelectiveBlock

    return SelectiveBlock(config, layer)


def parameters(model: nn.Module) -> int:
    """Numbers that are learned or, as frozen gates are, kept at their start."""
    return sum(weight.numel() for weight in model.parameters())
