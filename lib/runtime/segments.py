"""Cutting an endless stream of frames: sliding windows, and segments between pauses."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from lib.errors import BookError
from lib.runtime.smoothing import InARow, TopOne

END = -1
"""What a stream emits when the signer has been idle: the post's <END>."""


class SlidingWindow:
    """The last `size` frames, given out at every `stride`-th frame once it is full."""

    def __init__(self, size: int, stride: int = 1) -> None:
        if size < 1 or stride < 1:
            raise BookError(f"size is {size} and stride {stride}; both must be at least 1")
        self.frames, self.stride, self.since = deque(maxlen=size), stride, 0

    def push(self, frame: np.ndarray) -> np.ndarray | None:
        """Take in a frame [F]; the window [size, F] if one is due, else None."""
        filling = len(self.frames) < self.frames.maxlen
        self.frames.append(np.asarray(frame))
        if len(self.frames) < self.frames.maxlen:
            return None
        self.since = self.stride if filling else self.since + 1
        if self.since < self.stride:
            return None
        self.since = 0
        return np.stack(self.frames)

    def reset(self) -> None:
        """Forget all frames."""
        self.frames.clear()
        self.since = 0


def cuts(clip: np.ndarray, size: int, stride: int = 1) -> np.ndarray:
    """All windows of a clip at once: [T, F] -> [n, size, F], as SlidingWindow gives them one by one.

    A clip shorter than a window is one window, its last frame repeated.
    """
    if size < 1 or stride < 1 or len(clip) < 1:
        raise BookError(f"size is {size}, stride {stride}, frames {len(clip)}; each must be at least 1")
    if len(clip) < size:
        clip = np.concatenate([clip, np.repeat(clip[-1:], size - len(clip), axis=0)])
    return np.stack([clip[start : start + size] for start in range(0, len(clip) - size + 1, stride)])


class Segmenter:
    """Collects frames while somebody signs and hands the segment over after `idle` frames without a hand.

    `signing` tells a user interface whether a segment is open. A segment also closes at `longest` frames.
    """

    def __init__(self, idle: int = 8, longest: int = 512) -> None:
        if idle < 1 or longest < 1:
            raise BookError(f"idle is {idle} and longest {longest}; both must be at least 1")
        self.idle, self.longest = idle, longest
        self.frames: list[np.ndarray] = []
        self.quiet = 0

    @property
    def signing(self) -> bool:
        """Whether a segment is open."""
        return bool(self.frames)

    def push(self, frame: np.ndarray, present: bool) -> np.ndarray | None:
        """Take in a frame [F] and whether a hand is in it; the segment [T, F], its quiet tail cut, if it just ended."""
        self.quiet = 0 if present else self.quiet + 1
        if present or self.frames:
            self.frames.append(np.asarray(frame))
        if self.frames and (self.quiet >= self.idle or len(self.frames) >= self.longest):
            return self.flush()
        return None

    def flush(self) -> np.ndarray | None:
        """Close the segment now, at the end of a stream; None if none is open."""
        if not self.frames:
            return None
        segment = np.stack(self.frames[: len(self.frames) - self.quiet])
        self.frames, self.quiet = [], 0
        return segment


class IsolatedStream:
    """The isolated path of the post: window, classifier, smoothing over five, three in a row, <END> when idle.

    classify: windows [n, size, F] -> probabilities [n, V]. A smoothed label below `confidence` breaks the run.
    Source: the post's fallback; window length and threshold are not given there. Used by chapter 02.
    """

    def __init__(
        self,
        classify: Callable[[np.ndarray], np.ndarray],
        size: int,
        stride: int = 1,
        smoothing: int = 5,
        kind: str = "vote",
        in_a_row: int = 3,
        confidence: float = 0.0,
        idle: int = 8,
    ) -> None:
        if not 0 <= confidence <= 1:
            raise BookError(f"confidence is {confidence}; it must lie in [0, 1]")
        self.classify, self.confidence, self.idle = classify, confidence, idle
        self.window, self.smoother, self.gate = SlidingWindow(size, stride), TopOne(smoothing, kind), InARow(in_a_row)
        self.quiet, self.active = 0, False

    def push(self, frame: np.ndarray, present: bool = True) -> list[int]:
        """Take in a frame [F]; the tokens that it completes: labels, or END after `idle` frames without a hand."""
        self.quiet = 0 if present else self.quiet + 1
        if not present:
            if self.quiet == self.idle and self.active:
                self.reset()
                return [END]
            return []
        self.active = True
        window = self.window.push(frame)
        return [] if window is None else self.predict(self.classify(window[None])[0])

    def predict(self, probabilities: np.ndarray) -> list[int]:
        """Take in one prediction [V]; the label that it completes, if any."""
        label, confidence = self.smoother.push(probabilities)
        out = self.gate.push(label if confidence >= self.confidence else None)
        return [] if out is None else [out]

    def read(self, clip: np.ndarray) -> list[int]:
        """The labels of a whole clip [T, F], from a fresh start; all windows are classified in one call."""
        self.reset()
        windows = cuts(clip, self.window.frames.maxlen, self.window.stride)
        out = [label for row in self.classify(windows) for label in self.predict(row)]
        self.reset()
        return out

    def reset(self) -> None:
        """Forget window, predictions and run."""
        self.window.reset()
        self.smoother.reset()
        self.gate.reset()
        self.active = False
