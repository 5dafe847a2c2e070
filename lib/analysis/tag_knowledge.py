"""Knowing a tag and preferring it are two things, and a model's probabilities can tell them apart.

A model **prefers** the table where it finds the right tag likelier than the public spelling of the same point. It
**knows** the tag where it finds it likelier than other tags of the table. A model that answers with the public name may
know the tag all the same: then only the preference has to change. Chapter 01, "The model already knows".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lib.errors import BookError
from lib.models.answering import log_probabilities

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Lookup(Protocol):
    """What is looked at of a question."""

    prompt: str
    tag: str
    verbose: str


@dataclass(frozen=True)
class Known:
    """What a model's probabilities say of some lookups; arrays over questions."""

    right: np.ndarray
    """Natural log-probability of the right tag, float64 [N]."""
    public: np.ndarray
    """That of the public spelling, float64 [N]."""
    others: np.ndarray
    """That of other tags of the table, float64 [N, K]."""

    @property
    def preference(self) -> float:
        """Share of questions where the right tag is likelier than the public spelling."""
        return float((self.right > self.public).mean())

    @property
    def knowledge(self) -> float:
        """Share of questions where the right tag is likelier than each of the other tags."""
        return float((self.right > self.others.max(axis=1)).mean())

    @property
    def margin(self) -> float:
        """Mean log-probability of the right tag minus that of the public spelling, in nats."""
        return float((self.right - self.public).mean())


def rivals(tags: Sequence[str], right: str, count: int, rng: np.random.Generator) -> list[str]:
    """The `count` other tags that look most like a tag (shared pairs of characters), ties broken at random.

    Raises BookError when the table has too few others.
    """
    others = [tag for tag in tags if tag != right]
    if not 1 <= count <= len(others):
        raise BookError(f"{count} rivals of {right!r}; choose from 1 to {len(others)}")
    pairs = _pairs(right)
    likeness = np.array([len(pairs & _pairs(tag)) / len(pairs | _pairs(tag)) for tag in others])
    order = np.lexsort((rng.random(len(others)), -likeness))
    return [others[place] for place in order[:count]]


def known(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    lookups: Sequence[Lookup],
    tags: Sequence[str],
    rng: np.random.Generator,
    *,
    count: int = 15,
) -> Known:
    """Ask how likely a model finds the right tag, its public spelling and `count` look-alikes from the table.

    Raises BookError when there are no lookups, or when one has no public spelling.
    """
    if not lookups or not all(item.tag and item.verbose for item in lookups):
        raise BookError("every lookup needs a tag and a public spelling; give reverse lookups, at least one")
    choices = [[item.tag, item.verbose, *rivals(tags, item.tag, count, rng)] for item in lookups]
    prompts = [item.prompt for item, row in zip(lookups, choices, strict=True) for _ in row]
    flat = [text for row in choices for text in row]
    logs = log_probabilities(model, tokenizer, prompts, flat).reshape(len(lookups), count + 2)
    return Known(right=logs[:, 0], public=logs[:, 1], others=logs[:, 2:])


def _pairs(text: str) -> set[str]:
    padded = f"^{text}$"
    return {padded[place : place + 2] for place in range(len(padded) - 1)}
