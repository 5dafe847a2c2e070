"""The sequence model of chapter 02: frames in, tokens out, by attention; and a twin whose encoder is recurrent.

The post gives widths and layer counts, not a parameter count to the digit. "10 to 11 million" holds only when each head
is as wide as the embedding (head_width 256, how Keras counts key_dim): 10,350,472 and 256 a position. With the width
shared out among the heads (64 each) it is 5,618,056. So head_width is a field of its own here, for every backend.

Layers follow the encoder-decoder of Vaswani et al. (2017): LayerNorm after each residual, one map with a bias for each
of query, key, value and output. Token 0 is PAD and, once, the stop signal; token 1 begins a sequence.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.errors import BookError
from lib.models.layers import Linear, fill_uniform, fill_xavier

PAD, BOS = 0, 1
"""The stop signal that fills the rest of a row, and the token that a decoder starts from."""

EPS = 1e-6
"""Added to the variance by every LayerNorm; both backends use it."""


@dataclass(frozen=True)
class Seq2SeqConfig:
    """Sizes of the sequence model; the defaults are the post's."""

    inputs: int = 1629
    """Numbers in a frame: 543 landmarks of three."""
    vocabulary: int = 5000
    """Tokens, PAD and BOS included."""
    width: int = 256
    """Size of a frame or token inside the model."""
    hidden: int = 512
    """Size inside the feed-forward layers."""
    heads: int = 4
    """Attention heads."""
    head_width: int = 256
    """Size of one head; width / heads shares the width out, width gives each head all of it."""
    encoder_layers: int = 2
    """Layers that read frames."""
    decoder_layers: int = 2
    """Layers that write tokens."""
    frame_positions: int = 512
    """Most frames in a clip: rows of the learned table of frame positions."""
    token_positions: int = 64
    """Most tokens in a sequence: rows of the learned table of token positions."""
    dropout: float = 0.1
    """Share of each sublayer's output that is dropped in training."""
    encoder: Literal["attention", "gru"] = "attention"
    """What reads the frames; the decoder is the same for both."""
    gru_hidden: int = 128
    """Units per direction of the recurrent encoder; `matched_gru` sets it."""
    positions: Literal["learned", "sinusoidal"] = "learned"
    """How the attention encoder knows the index of a frame: a table, as in the post, or fixed waves."""
    embedding_bound: float = 0.05
    """Embeddings and positions start uniform within plus and minus this."""

    def __post_init__(self) -> None:
        for name in ("inputs", "vocabulary", "width", "hidden", "heads", "head_width", "gru_hidden"):
            if getattr(self, name) < 1:
                raise BookError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.dropout < 1:
            raise BookError(f"dropout is {self.dropout}; it must lie in [0, 1)")
        if self.encoder not in ("attention", "gru"):
            raise BookError(f"encoder is {self.encoder!r}; it must be 'attention' or 'gru'")
        if self.positions not in ("learned", "sinusoidal"):
            raise BookError(f"positions is {self.positions!r}; it must be 'learned' or 'sinusoidal'")
        if self.width % 2 and self.positions == "sinusoidal":
            raise BookError(f"width is {self.width}; sinusoidal positions need an even width")


class Dropout(nn.Module):
    """Dropout that draws from a generator of its own, so that a run depends on its seed alone."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate, self.generator = rate, None
        self.reseed(0)

    def reseed(self, seed: int) -> None:
        """Start the draws again from this seed."""
        self.seed, self.generator = seed, None

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape -> the same shape; the identity outside training."""
        if not self.training or not self.rate:
            return x
        if self.generator is None or self.generator.device.type != x.device.type:
            self.generator = torch.Generator(x.device).manual_seed(self.seed)
        keep = torch.empty_like(x).bernoulli_(1 - self.rate, generator=self.generator)
        return x * keep / (1 - self.rate)


class MultiHeadAttention(nn.Module):
    """Attention with heads of a stated width and a bias on every map."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.shape = (heads, head_width)
        self.query, self.key, self.value = (Linear(width, heads * head_width) for _ in range(3))
        self.output = Linear(heads * head_width, width)

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values, each [B, H, T, K], of x [B, T, D]."""
        return tuple(part(x).unflatten(-1, self.shape).transpose(1, 2) for part in (self.key, self.value))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
        """x [B, L, D] looks at keys and values [B, H, T, K]; mask is true where it may look, [..., L or 1, T]."""
        query = self.query(x).unflatten(-1, self.shape).transpose(1, 2)
        y = F.scaled_dot_product_attention(query, keys, values, attn_mask=mask)
        return self.output(y.transpose(1, 2).flatten(-2))


class FeedForward(nn.Module):
    """down(relu(up(x))), both with a bias."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up, self.down = Linear(width, hidden), Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., D] -> [..., D]."""
        return self.down(F.relu(self.up(x)))


class EncoderLayer(nn.Module):
    """Frames look at frames, then a feed-forward layer; LayerNorm after each residual."""

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(config.width, config.heads, config.head_width)
        self.attention_norm = nn.LayerNorm(config.width, eps=EPS)
        self.feed_forward = FeedForward(config.width, config.hidden)
        self.feed_forward_norm = nn.LayerNorm(config.width, eps=EPS)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x [B, T, D], mask [B, 1, 1, T] -> [B, T, D]."""
        x = self.attention_norm(x + self.dropout(self.attention(x, *self.attention.read(x), mask)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))


class DecoderLayer(nn.Module):
    """Tokens look at earlier tokens, then at the frames, then a feed-forward layer; three LayerNorms."""

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(config.width, config.heads, config.head_width)
        self.attention_norm = nn.LayerNorm(config.width, eps=EPS)
        self.cross = MultiHeadAttention(config.width, config.heads, config.head_width)
        self.cross_norm = nn.LayerNorm(config.width, eps=EPS)
        self.feed_forward = FeedForward(config.width, config.hidden)
        self.feed_forward_norm = nn.LayerNorm(config.width, eps=EPS)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, past: LayerState, mask: Tensor | None, seen: Tensor) -> tuple[Tensor, LayerState]:
        """x [B, L, D] after `past`; mask over tokens, `seen` [B, 1, 1, T] over frames. Returns x and the new past."""
        keys, values = self.attention.read(x)
        if past.keys is not None:
            keys, values = torch.cat((past.keys, keys), 2), torch.cat((past.values, values), 2)
        x = self.attention_norm(x + self.dropout(self.attention(x, keys, values, mask)))
        x = self.cross_norm(x + self.dropout(self.cross(x, past.frame_keys, past.frame_values, seen)))
        x = self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
        return x, replace(past, keys=keys, values=values)


@dataclass(frozen=True)
class LayerState:
    """What one decoder layer keeps: keys and values of the frames and of the tokens so far, each [B, H, *, K]."""

    frame_keys: Tensor
    frame_values: Tensor
    keys: Tensor | None = None
    values: Tensor | None = None

    def select(self, rows: Tensor) -> LayerState:
        """The rows of a batch in a new order, which may repeat."""
        kept = (self.frame_keys, self.frame_values, self.keys, self.values)
        return LayerState(*(None if part is None else part[rows] for part in kept))


@dataclass(frozen=True)
class DecodingState:
    """Everything that a cached step needs: one state per layer, which frames are real [B, 1, 1, T], tokens so far."""

    layers: tuple[LayerState, ...]
    seen: Tensor
    steps: int = 0

    def select(self, rows: Tensor) -> DecodingState:
        """The rows of a batch in a new order; beams are chosen so."""
        return replace(self, layers=tuple(layer.select(rows) for layer in self.layers), seen=self.seen[rows])


class Recurrent(nn.GRU):
    """One GRU layer in one direction that waits for `Seq2Seq.initialise`."""

    def reset_parameters(self) -> None:
        """Leave the weights alone: torch would draw them from its global generator here."""


class RecurrentEncoder(nn.Module):
    """Bidirectional GRU layers, a map back to the width, LayerNorm.

    The two directions are layers of their own, and each row is turned around within its length for the second. So no
    packed sequence is needed, whose backward fills a whole batch with zeros at every step.
    """

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        sizes = [config.width, *[2 * config.gru_hidden] * (config.encoder_layers - 1)]
        self.onward = nn.ModuleList(Recurrent(size, config.gru_hidden, batch_first=True) for size in sizes)
        self.returning = nn.ModuleList(Recurrent(size, config.gru_hidden, batch_first=True) for size in sizes)
        self.output = Linear(2 * config.gru_hidden, config.width)
        self.norm = nn.LayerNorm(config.width, eps=EPS)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """x [B, T, D] -> [B, T, D]; no step within a row's length depends on what lies past it."""
        steps, lengths = torch.arange(x.shape[1], device=x.device), lengths[:, None]
        turned = torch.where(steps < lengths, lengths - 1 - steps, steps)[..., None]
        for onward, back in zip(self.onward, self.returning, strict=True):
            last = back(x.take_along_dim(turned, 1))[0].take_along_dim(turned, 1)
            x = torch.cat((onward(x)[0], last), -1)
        return self.norm(self.output(self.dropout(x)))


class Seq2Seq(nn.Module):
    """Frames [B, T, F] and tokens [B, L] -> logits [B, L, V]; see Seq2SeqConfig for the sizes.

    generator fills the weights and seeds dropout; without one the weights wait for `initialise` or a checkpoint.
    Source: the model of the post on continuous signing. Used by chapter 02.
    """

    def __init__(self, config: Seq2SeqConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        self.projection = Linear(config.inputs, config.width)
        if config.encoder == "gru":
            self.recurrent = RecurrentEncoder(config)
        else:
            if config.positions == "learned":
                self.frame_position = nn.Parameter(torch.empty(config.frame_positions, config.width))
            self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.embedding = nn.Parameter(torch.empty(config.vocabulary, config.width))
        self.token_position = nn.Parameter(torch.empty(config.token_positions, config.width))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        self.output = Linear(config.width, config.vocabulary)
        self.dropout = Dropout(config.dropout)
        if generator is not None:
            self.initialise(generator)

    def initialise(self, generator: torch.Generator) -> None:
        """Xavier-uniform maps, biases 0, LayerNorms 1 and 0, embeddings uniform within the configured bound."""
        for name, weight in self.named_parameters():
            owner, _, leaf = name.rpartition(".")
            if not owner:
                fill_uniform(weight, self.config.embedding_bound, generator)
            elif weight.ndim == 2:
                fill_xavier(weight, generator)
            elif not weight.is_meta:
                nn.init.constant_(weight, 1.0 if leaf == "weight" else 0.0)
        self.reseed(generator.initial_seed())

    def reseed(self, seed: int) -> None:
        """Start dropout again from this seed, each place with its own stream."""
        for place, module in enumerate(part for part in self.modules() if isinstance(part, Dropout)):
            module.reseed((seed * 1009 + place) % 2**63)

    def encode(self, frames: Tensor, lengths: Tensor | None = None, signer: Tensor | None = None) -> Tensor:
        """Memory [B, T, D] of frames [B, T, F]; frames past lengths [B] are not read and their memory is 0.

        signer [B, D], if given, is added to each projected frame. Raises BookError for sizes that do not fit.
        """
        seen = self.real_frames(frames, lengths)
        x = self.projection(frames)
        if signer is not None:
            x = x + signer[:, None]
        if self.config.encoder == "gru":
            counts = seen.sum((1, 2, 3))
            x = self.recurrent(self.dropout(x), counts)
        else:
            x = self.dropout(x + self._frame_positions(frames.shape[1], x))
            for layer in self.encoder:
                x = layer(x, seen)
        return x * seen[:, 0, 0, :, None]

    def _frame_positions(self, time: int, like: Tensor) -> Tensor:
        if self.config.positions == "learned":
            return self.frame_position[:time]
        half = torch.arange(self.config.width // 2, device=like.device, dtype=torch.float32)
        angle = torch.arange(time, device=like.device)[:, None] * 10_000 ** (-2 * half / self.config.width)
        return torch.cat((angle.sin(), angle.cos()), -1).to(like.dtype)

    def real_frames(self, frames: Tensor, lengths: Tensor | None) -> Tensor:
        """True where a frame is real, [B, 1, 1, T]."""
        time, most = frames.shape[1], self.config.frame_positions
        if frames.shape[-1] != self.config.inputs:
            raise BookError(f"a frame has {frames.shape[-1]} numbers; this model reads {self.config.inputs}")
        if not 1 <= time <= most:
            raise BookError(f"a clip has {time} frames; this model reads 1 to {most}: cut it or raise frame_positions")
        if lengths is None:
            return frames.new_ones(len(frames), 1, 1, time, dtype=torch.bool)
        if int(lengths.min()) < 1 or int(lengths.max()) > time:
            raise BookError(f"lengths is {lengths.tolist()}; each must lie in 1..{time}")
        return (torch.arange(time, device=frames.device) < lengths.to(frames.device)[:, None])[:, None, None]

    def start(self, memory: Tensor, lengths: Tensor | None = None) -> DecodingState:
        """The state of a decoder that has written nothing, from memory [B, T, D]."""
        seen = torch.ones(len(memory), 1, 1, memory.shape[1], dtype=torch.bool, device=memory.device)
        if lengths is not None:
            steps = torch.arange(memory.shape[1], device=memory.device)
            seen = (steps < lengths.to(memory.device)[:, None])[:, None, None]
        return DecodingState(tuple(LayerState(*layer.cross.read(memory)) for layer in self.decoder), seen)

    def decode(self, tokens: Tensor, state: DecodingState) -> tuple[Tensor, DecodingState]:
        """Logits [B, L, V] after each of tokens [B, L], which follow what the state has seen; and the new state."""
        old, new = state.steps, state.steps + tokens.shape[1]
        if new > self.config.token_positions:
            raise BookError(f"{new} tokens exceed token_positions {self.config.token_positions}: shorten, or raise it")
        x = self.dropout(F.embedding(tokens, self.embedding) + self.token_position[old:new])
        mask = torch.ones(new - old, new, dtype=torch.bool, device=tokens.device).tril(old) if new - old > 1 else None
        layers = []
        for layer, past in zip(self.decoder, state.layers, strict=True):
            x, past = layer(x, past, mask, state.seen)
            layers.append(past)
        return self.output(x), replace(state, layers=tuple(layers), steps=new)

    def step(self, tokens: Tensor, state: DecodingState) -> tuple[Tensor, DecodingState]:
        """Logits [B, V] after one token each [B], and the new state: the cached form of `forward`."""
        logits, state = self.decode(tokens[:, None], state)
        return logits[:, 0], state

    def forward(self, frames: Tensor, lengths: Tensor | None, tokens: Tensor, signer: Tensor | None = None) -> Tensor:
        """Logits [B, L, V]: row t predicts what follows tokens[:, :t + 1]; tokens begin with BOS."""
        return self.decode(tokens, self.start(self.encode(frames, lengths, signer), lengths))[0]


def parameters(config: Seq2SeqConfig) -> int:
    """Parameters of the model of this config, positions included, counted on the meta device."""
    with torch.device("meta"):
        return sum(part.numel() for part in Seq2Seq(config).parameters())


def position_parameters(config: Seq2SeqConfig) -> int:
    """How many of them are learned positions of frames and tokens."""
    frames = config.frame_positions if (config.encoder, config.positions) == ("attention", "learned") else 0
    return (frames + config.token_positions) * config.width


def matched_gru(config: Seq2SeqConfig) -> Seq2SeqConfig:
    """The recurrent twin nearest in parameters: same decoder, the number of units makes up the difference."""
    target, low, high = parameters(config), 1, 2
    twin = replace(config, encoder="gru")
    while parameters(replace(twin, gru_hidden=high)) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if parameters(replace(twin, gru_hidden=middle)) < target else (low, middle)
    best = min((low, high), key=lambda units: abs(parameters(replace(twin, gru_hidden=units)) - target))
    return replace(twin, gru_hidden=best)
