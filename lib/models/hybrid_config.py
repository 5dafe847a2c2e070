"""The shape of a decoder over parallel codebooks: which layers attend, which recur, and how wide everything is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lib.errors import BookError

CHOICES = {
    "mixer": ("gated_delta_net", "gated_delta_simple"),
    "ffn": ("swiglu", "gelu"),
    "positions": ("rotary", "learned", "none"),
}


@dataclass(frozen=True)
class HybridConfig:
    """A stack of pre-norm blocks, most with a recurrent mixer and some with attention.

    The defaults are the speech model. Sources: the two posts on speech and on music.
    Raises BookError when fields do not fit together. Used by chapters 07, 09 and 10.
    """

    codebooks: int = 8
    """Parallel token streams K; a step reads and predicts one token of each."""
    vocabulary: int = 1027
    """Tokens per codebook V, special ones included."""
    pad: int | None = 1024
    """The token that embeds to zero and is never learned; None if there is none."""
    width: int = 384
    """Size d of the residual stream."""
    layers: int = 8
    """Blocks L."""
    heads: int = 6
    """Heads H of every mixer."""
    kv_heads: int = 2
    """Heads that keys and values of attention have; must divide `heads`."""
    ffn_width: int = 1024
    """Hidden size f of the feed-forward network."""
    ffn: Literal["swiglu", "gelu"] = "swiglu"
    """Kind of feed-forward network; both without bias."""
    attention_every: int = 4
    """Layers 4, 8, ... attend, for 4; 1: all of them; 0: none."""
    final_attention: bool = True
    """Whether the last layer attends whatever the period says."""
    mixer: Literal["gated_delta_net", "gated_delta_simple"] = "gated_delta_net"
    """The recurrent mixer: the released one, or the older one of the music post."""
    key_ratio: float = 0.75
    """Key size of gated_delta_net as a share of the head size, rounded down."""
    value_ratio: float = 2.0
    """Value size of gated_delta_net as a multiple of its key size, rounded down."""
    conv_width: int = 4
    """Steps that the short convolution of gated_delta_net sees."""
    negative_eigenvalues: bool = True
    """gated_delta_net writes with strength in (0, 2) rather than (0, 1)."""
    query_scale: float = 1.0
    """Factor on the output of the recurrence of gated_delta_net; fused kernels default to key_size ** -0.5."""
    qk_norm: bool = True
    """RMSNorm on each query and key head of attention."""
    positions: Literal["rotary", "learned", "none"] = "rotary"
    """Positions of attention: rotary, or a learned table added to the input."""
    max_positions: int = 8192
    """Rows of the learned table."""
    rotary_theta: float = 500_000.0
    """Base of the rotary frequencies."""
    dropout: float = 0.1
    """Share of each mixer's and feed-forward network's output that is dropped in training."""
    norm_eps: float = 1e-5
    """Added under the root of every RMSNorm."""
    cross_attention: tuple[int, ...] = ()
    """Layers, counted from 1, that also attend to text states."""
    text_width: int = 0
    """Size of the text states; 0 without cross-attention."""
    impl: str = "auto"
    """Implementation of the gated delta rule; see lib.kernels.explain."""

    def __post_init__(self) -> None:
        for name in ("codebooks", "vocabulary", "width", "layers", "heads", "kv_heads", "ffn_width", "max_positions"):
            require(getattr(self, name) >= 1, f"{name}={getattr(self, name)}; it must be at least 1")
        for name, known in CHOICES.items():
            require(getattr(self, name) in known, f"{name}={getattr(self, name)!r}; use one of {', '.join(known)}")
        require(self.width % self.heads == 0, f"width={self.width} does not divide into heads={self.heads}; change one")
        require(self.heads % self.kv_heads == 0, f"kv_heads={self.kv_heads} must divide heads={self.heads}")
        odd = self.positions == "rotary" and self.head_size % 2
        require(not odd, f"heads={self.heads} makes heads of {self.head_size}; rotary positions need an even size")
        require(self.attention_every >= 0, f"attention_every={self.attention_every}; use 0 for no attention")
        ratios = f"key_ratio={self.key_ratio}, value_ratio={self.value_ratio}"
        require(
            min(self.key_size, self.value_size) >= 1, f"{ratios}; they leave a head of size {self.head_size} nothing"
        )
        require(self.conv_width >= 1, f"conv_width={self.conv_width}; 1 is the current step alone")
        require(0 <= self.dropout < 1, f"dropout={self.dropout}; it is a share in [0, 1)")
        known_pad = self.pad is None or 0 <= self.pad < self.vocabulary
        require(known_pad, f"pad={self.pad} is no token; use one of 0..{self.vocabulary - 1}, or None")
        inside = all(1 <= layer <= self.layers for layer in self.cross_attention)
        require(inside, f"cross_attention={self.cross_attention}; layers run from 1 to {self.layers}")
        fits = (self.text_width > 0) == bool(self.cross_attention)
        require(fits, f"text_width={self.text_width} with cross_attention={self.cross_attention}; give both or neither")

    @property
    def head_size(self) -> int:
        """Size D of an attention head, and of a head of gated_delta_simple."""
        return self.width // self.heads

    @property
    def key_size(self) -> int:
        """Key size of a head of gated_delta_net."""
        return int(self.key_ratio * self.head_size)

    @property
    def value_size(self) -> int:
        """Value size of a head of gated_delta_net."""
        return int(self.value_ratio * self.key_size)

    def attends(self, layer: int) -> bool:
        """Whether layer, counted from 1, is an attention layer."""
        periodic = self.attention_every > 0 and layer % self.attention_every == 0
        return periodic or (self.final_attention and layer == self.layers)

    @classmethod
    def speech_22m(cls) -> HybridConfig:
        """The speech model: 8 layers, attention at 4 and 8; 21,904,648 parameters."""
        return cls()

    @classmethod
    def music_300m(cls) -> HybridConfig:
        """The music model as the post counts it: 17 older mixers and 5 attention layers; 294,263,072 parameters."""
        return cls(
            codebooks=9,
            width=1024,
            layers=22,
            heads=16,
            kv_heads=4,
            ffn_width=2816,
            final_attention=False,
            mixer="gated_delta_simple",
        )


def require(holds: bool, message: str) -> None:
    """Raise BookError with the message unless the condition holds."""
    if not holds:
        raise BookError(message)
