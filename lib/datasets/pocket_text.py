"""The text of the pocket ladder as tokens: what the models, the autoencoders and the scoring each see, never twice.

From the packages it takes half a minute; what a page needs of it is kept as a prepared file. Chapters 05 and 06.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib.datasets import text
from lib.errors import BookError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LENGTH, VOCABULARY, FOR_MODELS = 128, 1024, 4800  # 614,400 tokens train a rung of the ladder
SHARE = 0.35  # of the texts, more than enough tokens for all that is handed out


@dataclass(frozen=True)
class PocketText:
    """Sequences [N, 128], int32, and the tokenizer that wrote them."""

    models: np.ndarray
    """What the ladder is trained on; empty in a prepared file."""
    autoencoders: np.ndarray
    """Later text of the same packages, which no model has seen."""
    held_out: np.ndarray
    """Text of other packages."""
    tokenizer: Tokenizer
    source: dict[str, int | str] | None = None
    """How many texts there were to train on, to hold out, and twice; and their digest. None in a prepared file."""

    def read(self, rows: np.ndarray) -> str:
        """Sequences as text again."""
        return self.tokenizer.decode(np.asarray(rows).ravel().tolist(), skip_special_tokens=True)


def from_packages(
    autoencoders: int = 1600,
    held_out: int = 128,
    models: int = FOR_MODELS,
    train: dict[str, str] = text.TRAIN,
    other: dict[str, str] = text.HELD_OUT,
) -> PocketText:
    """The text of installed packages, with that many sequences for each purpose.

    train, other: {module: distribution}, the book's own by default. Raises BookError when the packages hold fewer.
    """
    found = text.corpus(train, other)
    tokenizer = text.byte_pairs(found.train, VOCABULARY)
    first = found.train[: int(SHARE * len(found.train))]
    ration = text.Ration(text.blocks(text.tokens(first, tokenizer), LENGTH))
    apart = text.Ration(text.blocks(text.tokens(found.held_out[: len(found.held_out) // 4], tokenizer), LENGTH))
    source = {"train": len(found.train), "held_out": len(found.held_out), "dropped": found.dropped}
    source["digest"] = found.digest[:16]
    return PocketText(ration.take(models), ration.take(autoencoders), apart.take(held_out), tokenizer, source)


def save(found: PocketText, tokens: Path, tokenizer: Path) -> None:
    """Write the sequences for autoencoders and scoring, in two bytes a token, and the tokenizer."""
    from safetensors.numpy import save_file

    parts = {"autoencoders": found.autoencoders, "held_out": found.held_out}
    save_file({name: rows.astype(np.uint16) for name, rows in parts.items()}, tokens)
    tokenizer.write_text(found.tokenizer.to_str(), encoding="utf-8")


def load(tokens: Path, tokenizer: Path) -> PocketText:
    """What `save` wrote, without the sequences of the models. Raises BookError for another file."""
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    parts = {name: rows.astype(np.int32) for name, rows in load_file(tokens).items()}
    if set(parts) != {"autoencoders", "held_out"}:
        raise BookError(f"{tokens} holds {sorted(parts)}; give a file that `pocket_text.save` wrote")
    coder = Tokenizer.from_str(tokenizer.read_text(encoding="utf-8"))
    return PocketText(np.zeros((0, LENGTH), np.int32), parts["autoencoders"], parts["held_out"], coder)
