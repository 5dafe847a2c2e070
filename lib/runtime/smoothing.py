"""From a stream of predictions to tokens that are emitted once: smoothing, repetition, agreement.

The post smooths the first label over five predictions and emits it after the same label three times in a row. Whether
"smooths" means a vote of labels or a mean of probabilities is not said; both are here.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Literal

import numpy as np

from lib.errors import BookError


class TopOne:
    """The first label, smoothed over the last `window` predictions.

    vote: the label that was first most often, the later one of equals; confidence is its share of the votes.
    mean: the first label of the mean of probabilities; confidence is that mean.
    Source: the isolated path of the post. Used by chapter 02.
    """

    def __init__(self, window: int = 5, kind: Literal["vote", "mean"] = "vote") -> None:
        if window < 1:
            raise BookError(f"window is {window}; it must hold at least 1 prediction")
        if kind not in ("vote", "mean"):
            raise BookError(f"kind is {kind!r}; it must be 'vote' or 'mean'")
        self.kind, self.recent = kind, deque(maxlen=window)

    def push(self, probabilities: np.ndarray) -> tuple[int, float]:
        """Take in probabilities, shape (n_labels,); returns the smoothed label and its confidence in [0, 1]."""
        self.recent.append(np.asarray(probabilities, dtype=float))
        if self.kind == "mean":
            mean = np.mean(self.recent, axis=0)
            return int(mean.argmax()), float(mean.max())
        firsts = [int(row.argmax()) for row in self.recent]
        counts = Counter(firsts)
        most = max(counts.values())
        label = next(label for label in reversed(firsts) if counts[label] == most)
        return label, most / len(firsts)

    def reset(self) -> None:
        """Forget all predictions."""
        self.recent.clear()


class InARow:
    """Lets a label through when it has come `count` times in a row, once per run."""

    def __init__(self, count: int = 3) -> None:
        if count < 1:
            raise BookError(f"count is {count}; a label must come at least once")
        self.count, self.label, self.run = count, None, 0

    def push(self, label: int | None) -> int | None:
        """The label if this is the `count`-th of its run, else None; None as a label breaks the run."""
        self.run = self.run + 1 if label == self.label else 1
        self.label = label
        return label if label is not None and self.run == self.count else None

    def reset(self) -> None:
        """Forget the run."""
        self.label, self.run = None, 0


class LocalAgreement:
    """Smooths a sequence model that decodes again as frames come in: a token is out when hypotheses agree on it.

    A token is emitted once the last `count` hypotheses share the prefix that ends with it, and is never taken back.
    Source: Liu et al., Low-Latency Sequence-to-Sequence Speech Recognition (2020), section 3. Used by chapter 02.
    """

    def __init__(self, count: int = 2) -> None:
        if count < 1:
            raise BookError(f"count is {count}; at least one hypothesis must agree with itself")
        self.recent: deque[tuple[int, ...]] = deque(maxlen=count)
        self.emitted: list[int] = []

    def push(self, hypothesis: Sequence[int]) -> list[int]:
        """Take in the tokens of the whole utterance as decoded now; returns the tokens that are new and certain."""
        self.recent.append(tuple(hypothesis))
        if len(self.recent) < self.recent.maxlen:
            return []
        agreed = common_prefix(list(self.recent))
        fresh = list(agreed[len(self.emitted) :])
        self.emitted += fresh
        return fresh

    def finish(self, hypothesis: Sequence[int]) -> list[int]:
        """The last hypothesis is taken as it is: what it holds beyond the tokens that are out."""
        fresh = list(hypothesis[len(self.emitted) :])
        self.emitted += fresh
        return fresh


def common_prefix(rows: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The longest beginning that all rows share."""
    out = []
    for column in zip(*rows, strict=False):
        if len(set(column)) > 1:
            break
        out.append(column[0])
    return tuple(out)
