"""Sound taken from one rate to another."""

from __future__ import annotations

from math import gcd

import numpy as np

from lib.errors import BookError


def resampled(wave: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Samples [n] at a rate taken to the wanted one, as float32. Used by chapters 09 and 10.

    Raises BookError for anything but one channel of at least one sample.
    """
    from scipy.signal import resample_poly

    wave = np.asarray(wave, np.float32)
    if wave.ndim != 1 or not len(wave):
        raise BookError(f"samples have shape {list(wave.shape)}; give one channel, shape [n], of at least one sample")
    common = gcd(wanted, rate)
    return wave if rate == wanted else resample_poly(wave, wanted // common, rate // common).astype(np.float32)
