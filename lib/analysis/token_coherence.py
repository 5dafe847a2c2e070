"""The music post's long-range coherence: how alike the token histograms of distant windows are.

It is defined on codes [K, T] of any codec. It looks at which tokens are used, never at their order, so it cannot tell
music from the same frames in any other order; chapter 07 measures what that means.
"""

from __future__ import annotations

import numpy as np

from lib.errors import BookError


def window_histograms(codes: np.ndarray, vocabulary: int, window: int, hop: int) -> np.ndarray:
    """Counts of every token in every window, [W, K, vocabulary]. Raises BookError for codes shorter than a window."""
    codes = np.asarray(codes)
    codebooks, frames = codes.shape
    if frames < window or min(window, hop) < 1:
        raise BookError(f"{frames} frames hold no window of {window} every {hop}; give longer codes")
    starts = range(0, frames - window + 1, hop)
    rows = [np.bincount(row[s : s + window], minlength=vocabulary) for s in starts for row in codes]
    return np.array(rows, dtype=float).reshape(len(starts), codebooks, vocabulary)


def long_range_coherence(codes: np.ndarray, *, vocabulary: int, window: int, hop: int) -> float:
    """Mean cosine of the histograms of non-adjacent windows, over codebooks and pairs.

    codes: [K, T] integers below vocabulary. Windows i and j count when |i - j| > 1; with a hop of half a window these
    do not overlap. The post takes 344 frames (4 s) every 172.
    Raises BookError when no two windows are that far apart.
    """
    counts = window_histograms(codes, vocabulary, window, hop)
    unit = counts / np.linalg.norm(counts, axis=-1, keepdims=True)
    cosine = np.einsum("ikv,jkv->kij", unit, unit)
    first, second = np.triu_indices(len(counts), 2)
    if not first.size:
        raise BookError(f"{len(counts)} windows have no pair that is not adjacent; three are the least")
    return float(cosine[:, first, second].mean())
