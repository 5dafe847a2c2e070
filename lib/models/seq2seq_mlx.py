"""The same sequence model in MLX: it reads the weights file of the torch model and gives the same logits.

The post has two backends, Keras and MLX. Two backends are one model only if every size is stated: MLX shares the width
out among the heads, Keras does not, and the model would have 5.6 million parameters in one and 10.4 in the other. Here
one file of weights (safetensors) and one config serve both, and a test compares their logits.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from lib.errors import BookError
from lib.models.seq2seq import BOS, EPS, PAD, Seq2SeqConfig


def _mlx() -> ModuleType:
    try:
        import mlx.core as mx
    except ImportError as error:
        raise BookError("mlx is not installed; pip install 'mlx[cpu]' (Linux) or mlx (Apple silicon)") from error
    return mx


class Seq2SeqMLX:
    """Forward pass and greedy decoding of Seq2Seq on MLX arrays; attention encoder only, no training.

    weights: safetensors file that holds the torch model's state_dict. Raises BookError if mlx is absent or the file
    lacks a weight. Source: the MLX backend of the post. Used by chapter 02.
    """

    def __init__(self, config: Seq2SeqConfig, weights: Path | str) -> None:
        self.mx = _mlx()
        if config.encoder != "attention" or config.positions != "learned":
            raise BookError(
                f"encoder is {config.encoder!r} with {config.positions} positions; the MLX twin has attention, learned"
            )
        self.config = config
        self.weights: dict[str, Any] = {
            name: part.astype(self.mx.float32) for name, part in self.mx.load(str(weights)).items()
        }
        missing = _expected(config) - set(self.weights)
        if missing:
            raise BookError(f"{Path(weights).name} lacks {sorted(missing)[0]!r}; save the state_dict of this config")

    def logits(self, frames: np.ndarray, lengths: np.ndarray | None, tokens: np.ndarray) -> np.ndarray:
        """Frames [B, T, F], lengths [B] or None, tokens [B, L] that begin with BOS -> logits [B, L, V]."""
        seen = self._seen(frames, lengths)
        return np.array(self._decode(self._encode(frames, seen), seen, tokens))

    def greedy(self, frames: np.ndarray, lengths: np.ndarray | None, limit: int) -> list[list[int]]:
        """The likeliest token at each step until PAD or the limit; ids per row, as the torch `greedy` writes them."""
        if not 1 <= limit <= self.config.token_positions:
            raise BookError(f"limit is {limit}; it must lie in 1..{self.config.token_positions}, the token positions")
        seen = self._seen(frames, lengths)
        memory = self._encode(frames, seen)
        tokens = np.full((len(frames), 1), BOS)
        for _ in range(limit):
            best = np.array(self._decode(memory, seen, tokens))[:, -1].argmax(-1)
            over = (tokens[:, 1:] == PAD).any(1)
            tokens = np.concatenate([tokens, np.where(over, PAD, best)[:, None]], axis=1)
        rows = tokens[:, 1:].tolist()
        return [row[: row.index(PAD)] if PAD in row else row for row in rows]

    def _seen(self, frames: np.ndarray, lengths: np.ndarray | None) -> Any:
        batch, time, inputs = frames.shape
        if inputs != self.config.inputs or not 1 <= time <= self.config.frame_positions:
            raise BookError(
                f"frames are {time} x {inputs}; this model reads 1 to {self.config.frame_positions} frames of "
                f"{self.config.inputs} numbers"
            )
        counts = np.full(batch, time) if lengths is None else np.asarray(lengths)
        return self.mx.array((np.arange(time) < counts[:, None])[:, None, None])

    def _encode(self, frames: np.ndarray, seen: Any) -> Any:
        x = self._linear("projection", self.mx.array(np.asarray(frames, dtype=np.float32)))
        x = x + self.weights["frame_position"][: x.shape[1]]
        for layer in range(self.config.encoder_layers):
            name = f"encoder.{layer}"
            x = self._norm(f"{name}.attention_norm", x + self._attend(f"{name}.attention", x, x, seen))
            x = self._norm(f"{name}.feed_forward_norm", x + self._feed_forward(f"{name}.feed_forward", x))
        return x * seen[:, 0, 0, :, None]

    def _decode(self, memory: Any, seen: Any, tokens: np.ndarray) -> Any:
        length = tokens.shape[1]
        if length > self.config.token_positions:
            raise BookError(f"{length} tokens exceed token_positions {self.config.token_positions}")
        x = self.weights["embedding"][self.mx.array(tokens)] + self.weights["token_position"][:length]
        past = self.mx.array(np.tril(np.ones((length, length), dtype=bool)))
        for layer in range(self.config.decoder_layers):
            name = f"decoder.{layer}"
            x = self._norm(f"{name}.attention_norm", x + self._attend(f"{name}.attention", x, x, past))
            x = self._norm(f"{name}.cross_norm", x + self._attend(f"{name}.cross", x, memory, seen))
            x = self._norm(f"{name}.feed_forward_norm", x + self._feed_forward(f"{name}.feed_forward", x))
        return self._linear("output", x)

    def _linear(self, name: str, x: Any) -> Any:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, name: str, x: Any) -> Any:
        return self.mx.fast.layer_norm(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"], EPS)

    def _feed_forward(self, name: str, x: Any) -> Any:
        return self._linear(f"{name}.down", self.mx.maximum(self._linear(f"{name}.up", x), 0))

    def _attend(self, name: str, x: Any, source: Any, mask: Any) -> Any:
        query, key, value = (
            self._linear(f"{name}.{part}", given)
            .reshape(given.shape[0], given.shape[1], self.config.heads, self.config.head_width)
            .transpose(0, 2, 1, 3)
            for part, given in (("query", x), ("key", source), ("value", source))
        )
        y = self.mx.fast.scaled_dot_product_attention(query, key, value, scale=self.config.head_width**-0.5, mask=mask)
        return self._linear(f"{name}.output", y.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[1], -1))


def _expected(config: Seq2SeqConfig) -> set[str]:
    """Names of the weights that a torch model of this config has."""
    import torch

    from lib.models.seq2seq import Seq2Seq

    with torch.device("meta"):
        return set(Seq2Seq(config).state_dict())
