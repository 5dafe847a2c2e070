"""A dispatcher that learns: from what a segment looks like to the recogniser that will read it.

It is taught on segments of which exactly one recogniser was right; where both are right or both wrong there is nothing
to choose. The features are what a buffer can know before anybody has read it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lib.errors import BookError
from lib.runtime.dispatch import Route


def features(segment: np.ndarray, quick: float = 0.5) -> np.ndarray:
    """Of a segment [T, F]: frames, path length, longest step, share of quick frames, bursts of quick frames; [5].

    A step is the distance between successive frames, in the units of the input; quick steps are above `quick` times the
    longest.
    """
    if segment.ndim != 2 or not len(segment):
        raise BookError(f"a segment is {segment.shape}; give [T, F] with at least one frame")
    steps = np.linalg.norm(np.diff(segment, axis=0), axis=1) if len(segment) > 1 else np.zeros(1)
    fast = steps > quick * max(steps.max(), 1e-9)
    bursts = np.count_nonzero(np.diff(np.concatenate([[0], fast.astype(int)])) == 1)
    return np.array([len(segment), steps.sum(), steps.max(), fast.mean(), bursts], dtype=float)


def fit(
    segments: Sequence[np.ndarray], isolated_right: Sequence[bool], sequence_right: Sequence[bool]
) -> Callable[[np.ndarray], Route]:
    """A `choose` for the Dispatcher, by logistic regression on standardised features. Chapter 02, pushing further.

    When all decided segments favour one recogniser, it is always chosen. Raises BookError when none is decided.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = [place for place, pair in enumerate(zip(isolated_right, sequence_right, strict=True)) if pair[0] != pair[1]]
    wanted = ["sequence" if sequence_right[place] else "isolated" for place in rows]
    if not rows:
        raise BookError(f"none of {len(isolated_right)} segments decides between the two; give others to learn from")
    if len(set(wanted)) == 1:
        return lambda segment: wanted[0]
    model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
    model.fit(np.stack([features(segments[place]) for place in rows]), wanted)
    return lambda segment: str(model.predict(features(segment)[None])[0])
