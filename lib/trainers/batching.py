"""Which items make up which batch: reshuffled every epoch, bucketed by length, and resumable to the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from lib.errors import BookError
from lib.trainers.delay import apply_delay

POOL = 32
"""Batches that are sorted by length together: wide enough to match lengths, narrow enough to keep epochs different."""


@dataclass(frozen=True)
class Batch:
    """One batch of next-step prediction.

    inputs, targets: [B, K, T] tokens; targets are the inputs one step later. lengths: real steps of each row.
    context: further arguments of the model, such as text states.
    """

    inputs: Tensor
    targets: Tensor
    lengths: list[int]
    context: dict[str, Tensor] = field(default_factory=dict)

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        context = {name: value.to(device) for name, value in self.context.items()}
        return Batch(self.inputs.to(device), self.targets.to(device), self.lengths, context)


def collate(items: Sequence[object], *, pad: int, delay: bool = True) -> Batch:
    """Make a batch, no longer than its longest item.

    items: codes [K, T_i] each, or mappings with `codes` [K, T_i] and `text` [S_i, E]. delay: apply the delay pattern;
    without it codes may already hold pad. Rows are filled with pad on the right.
    Raises BookError for an item that leaves nothing to predict.
    """
    rows, texts = [], []
    for item in items:
        codes = item["codes"] if isinstance(item, Mapping) else item
        codes = torch.as_tensor(codes).long()
        rows.append(apply_delay(codes, pad) if delay else codes)
        if isinstance(item, Mapping):
            texts.append(torch.as_tensor(item["text"]))
    lengths = [row.shape[1] - 1 for row in rows]
    if min(lengths) < 1:
        raise BookError(f"an item has {min(lengths) + 1} step; next-step prediction needs at least 2")
    tokens = rows[0].new_full((len(rows), rows[0].shape[0], max(lengths) + 1), pad)
    for place, row in zip(tokens, rows, strict=True):
        place[:, : row.shape[1]] = row
    context = {}
    if texts:
        context = {
            "text": torch.nn.utils.rnn.pad_sequence(texts, batch_first=True),
            "text_lengths": torch.tensor([len(text) for text in texts]),
        }
    return Batch(tokens[:, :, :-1], tokens[:, :, 1:], lengths, context)


class Batches:
    """An endless stream of index batches; each epoch is a new permutation, and a last part batch is dropped.

    count: items. size: items per batch. generator: draws the permutations.
    lengths: when given, items of like length share a batch: each pool of 32 batches of the permutation is sorted by
    length before it is cut, and the batches are shuffled again.
    Raises BookError when there are fewer items than a batch needs.
    """

    def __init__(
        self, count: int, size: int, generator: np.random.Generator, lengths: Sequence[int] | None = None
    ) -> None:
        if not 1 <= size <= count:
            raise BookError(f"batch={size} with {count} items; use a batch between 1 and {count}")
        self.count, self.size, self.generator = count, size, generator
        self.lengths = None if lengths is None else np.asarray(lengths)
        self.start_epoch()

    def start_epoch(self) -> None:
        """Draw the order of an epoch, and remember the generator's state from before."""
        self.before = self.generator.bit_generator.state
        self.cursor = 0
        order = self.generator.permutation(self.count)
        if self.lengths is not None:
            pools = [order[i : i + POOL * self.size] for i in range(0, self.count, POOL * self.size)]
            order = np.concatenate([pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools])
        whole = self.count // self.size
        self.plan = order[: whole * self.size].reshape(whole, self.size)
        if self.lengths is not None:
            self.plan = self.generator.permutation(self.plan)

    def next(self) -> np.ndarray:
        """The indices [size] of the next batch."""
        if self.cursor == len(self.plan):
            self.start_epoch()
        self.cursor += 1
        return self.plan[self.cursor - 1]

    def state(self) -> dict[str, object]:
        """The place in the data: the generator's state at the start of the epoch, and the batches taken since."""
        return {"generator": self.before, "cursor": self.cursor}

    def restore(self, state: Mapping[str, object]) -> None:
        """Go to the place that `state` described."""
        self.generator.bit_generator.state = state["generator"]
        self.start_epoch()
        self.cursor = state["cursor"]
