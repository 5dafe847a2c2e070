"""Yes-or-no properties of tokens that a person can name, for asking whether a feature means one of them. Chapter 05."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PROMPT = ">>>"  # opens a line of a doctest


def token_properties(sequences: Tensor, tokenizer: Tokenizer) -> dict[str, Tensor]:
    """Each property of every token, bool like sequences [n, T].

    Four belong to the token alone: it holds a digit, a line break, an underscore, a capital. The fifth needs its
    context: whether the line up to and with the token holds the prompt of a doctest.
    """
    words = [tokenizer.decode([token], skip_special_tokens=False) for token in range(tokenizer.get_vocab_size())]
    tests = {
        "digit": lambda word: any(c.isdigit() for c in word),
        "line break": lambda word: "\n" in word,
        "underscore": lambda word: "_" in word,
        "capital": lambda word: any(c.isupper() for c in word),
    }
    found = {name: torch.tensor([test(word) for word in words])[sequences] for name, test in tests.items()}
    found["doctest line"] = torch.tensor([_after_prompt([words[token] for token in row]) for row in sequences.tolist()])
    return found


def _after_prompt(words: list[str]) -> list[bool]:
    line, found = "", []
    for word in words:
        line = (line + word).rpartition("\n")[2]
        found.append(PROMPT in line)
    return found
