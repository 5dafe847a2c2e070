"""The five stages of the post as stages here: camera, landmarks, reader, translator, agent.

The camera is the source. The landmark stage cuts the stream into segments between pauses. The reader is the dispatcher.
The translator of the post turns gloss into English with retrieval and a language model; it and the agent are another
author's work and out of scope: here the translator spells tokens out and passes them on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from lib.runtime.segments import Segmenter
from lib.runtime.stage import Policy, Stage

PRESENT = 69
"""The input that says whether a hand was found."""


def stream(clips: Iterable[np.ndarray], quiet: int) -> Iterator[np.ndarray]:
    """Frames [F] of clips [T, F], with `quiet` empty frames after each: the hand leaves the picture."""
    for clip in clips:
        yield from clip
        yield from np.zeros((quiet, clip.shape[1]), dtype=clip.dtype)


def stages(
    read: Callable[[np.ndarray], Sequence[int]],
    spell: Callable[[Sequence[int]], str],
    *,
    idle: int = 8,
    capacity: int = 2,
    policy: Policy = "block",
    ticks_a_frame: float = 0.0,
) -> list[Stage]:
    """Landmarks, reader and translator for a source of frames [F]; a text comes out for every segment.

    idle: empty frames that end a segment. capacity, policy: of the queue before the reader. ticks_a_frame: what the
    reader takes, in frames of the camera for every frame of the segment; above 1 it cannot keep up with a signer who
    does not rest. Only a replay asks for it. Chapter 02, the runtime.
    """
    segmenter = Segmenter(idle)

    def collect(frame: np.ndarray) -> list[np.ndarray]:
        segment = segmenter.push(frame, bool(frame[PRESENT] > 0))
        return [] if segment is None else [segment]

    def rest() -> list[np.ndarray]:
        segment = segmenter.flush()
        return [] if segment is None else [segment]

    return [
        Stage("landmarks", collect, capacity=8, finish=rest, cost=lambda frame: 0.5),
        Stage("reader", lambda segment: [list(read(segment))], capacity, policy, cost=lambda s: ticks_a_frame * len(s)),
        Stage("translator", lambda tokens: [spell(tokens)], capacity=8, cost=lambda tokens: 1.0),
    ]
