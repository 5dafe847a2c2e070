"""Multi-query associative recall: pairs of key and value, then keys again, to be answered with their values.

Two parallel streams, as codebooks are: a step shows a key in the first and, while pairs are shown, its value in the
second; a query shows a blank there. Keys of a sequence differ, values are drawn freely. Simulated, with known answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lib.errors import BookError

UNASKED = -1
"""Target of a step that asks nothing."""


@dataclass(frozen=True)
class RecallBatch:
    """tokens [B, 2, T]; targets [B, T], the value that a query asks for or UNASKED; answered_at [B, T], the step that
    showed it, or the step itself where nothing is asked."""

    tokens: Tensor
    targets: Tensor
    answered_at: Tensor

    @property
    def asked(self) -> Tensor:
        """Which steps ask, [B, T]."""
        return self.targets != UNASKED

    def oracle(self, segment: int) -> Tensor:
        """Gates [B, T, N] that read only the segment that holds the answer, and the current one where none is asked."""
        segments = -(-self.targets.shape[1] // segment)
        return torch.nn.functional.one_hot(self.answered_at // segment, segments).float()

    def random(self, segment: int, generator: torch.Generator) -> Tensor:
        """Gates [B, T, N] that read one segment where something is asked, drawn evenly from those begun so far."""
        own = (torch.arange(self.targets.shape[1]) // segment).expand_as(self.targets)
        drawn = (torch.rand(own.shape, generator=generator) * (own + 1)).long()
        return torch.nn.functional.one_hot(torch.where(self.asked, drawn, own), int(own.max()) + 1).float()

    def take(self, rows: Tensor) -> RecallBatch:
        """The batch of these rows."""
        return RecallBatch(self.tokens[rows], self.targets[rows], self.answered_at[rows])


@dataclass(frozen=True)
class RecallTask:
    """How many pairs and queries a sequence has, and from how many keys and values they are drawn.

    Source: Arora et al., Zoology (2023), section 3, in the form of two streams. Used by chapter 08.
    Raises BookError for sizes below 1, more pairs than keys, or more queries than pairs.
    """

    pairs: int = 96
    queries: int = 32
    keys: int = 128
    values: int = 64

    def __post_init__(self) -> None:
        for name in ("pairs", "queries", "keys", "values"):
            if getattr(self, name) < 1:
                raise BookError(f"{name}={getattr(self, name)}; it must be at least 1")
        if not self.queries <= self.pairs <= self.keys:
            sizes = f"queries={self.queries}, pairs={self.pairs}, keys={self.keys}"
            raise BookError(f"{sizes}; keys of a sequence differ, so give queries <= pairs <= keys")

    @property
    def steps(self) -> int:
        """Length T of a sequence."""
        return self.pairs + self.queries

    @property
    def vocabulary(self) -> int:
        """Tokens of a stream; the blank is the one after the last value."""
        return max(self.keys, self.values + 1)

    def draw(self, count: int, generator: torch.Generator) -> RecallBatch:
        """`count` sequences; pairs and queries come in random order, no pair is asked twice."""
        keys = torch.rand(count, self.keys, generator=generator).argsort(1)[:, : self.pairs]
        values = torch.randint(self.values, (count, self.pairs), generator=generator)
        picked = torch.rand(count, self.pairs, generator=generator).argsort(1)[:, : self.queries]
        blank = torch.full((count, self.queries), self.values)
        tokens = torch.stack((torch.cat((keys, keys.gather(1, picked)), 1), torch.cat((values, blank), 1)), dim=1)
        unasked = torch.full((count, self.pairs), UNASKED)
        targets = torch.cat((unasked, values.gather(1, picked)), 1)
        answered_at = torch.cat((torch.arange(self.pairs).expand(count, -1), picked), 1)
        return RecallBatch(tokens, targets, answered_at)
