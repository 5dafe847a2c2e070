"""Any text as token sequences of any model, for pretrained models with tokenizers of their own. Chapters 05 and 06."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lib import quiet_bars  # noqa: F401 (before datasets)
from lib.datasets import text
from lib.datasets.registry import fetch
from lib.errors import BookError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def retokenised(words: str, tokenizer: PreTrainedTokenizerBase | object, count: int, length: int = 128) -> Tensor:
    """The first `count` sequences [count, length], int64, of a text. tokenizer: of transformers or of tokenizers.

    Raises BookError for a text that holds fewer.
    """
    coder = getattr(tokenizer, "backend_tokenizer", tokenizer)
    rows = text.blocks(torch.tensor(coder.encode(words, add_special_tokens=False).ids).numpy(), length)
    if len(rows) < count:
        raise BookError(f"the text makes {len(rows)} sequences of {length} tokens, not {count}; give a longer one")
    return torch.from_numpy(rows[:count].copy()).long()


def wikitext2() -> str:
    """The validation text of WikiText-2, as its publisher tokenised it. Raises BookError when it is out of reach."""
    return (fetch("wikitext2") / "valid.txt").read_text(encoding="utf-8")


def pile(count: int, length: int = 256, name: str = "NeelNanda/pile-small-tokenized-2b", skip: int = 0) -> Tensor:
    """Sequences [count, length] of the Pile sample that the post used, read from the hub as they come.

    name: a dataset with a column `tokens`, written with the tokenizer of Pythia; or a local folder of such files.
    skip: sequences to pass over first, so that what is held out is not what was trained on.
    Raises BookError when the hub cannot be reached or the rows are too few.
    """
    import datasets

    found: list[list[int]] = []
    try:
        for row in datasets.load_dataset(name, split="train", streaming=True):
            stream = row["tokens"]
            found += [stream[start : start + length] for start in range(0, len(stream) - length + 1, length)]
            if len(found) >= skip + count:
                return torch.tensor(found[skip : skip + count])
    except (OSError, ConnectionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BookError(f"data set {name!r} could not be had ({reason}); check the name and the connection") from error
    raise BookError(f"{name} makes {len(found)} sequences of {length}, not {skip + count}; ask for fewer")
