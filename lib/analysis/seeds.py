"""Runs that differ by their seed: a mean, and the interval that so few of them allow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def seed_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, tuple[float, float] | None]:
    """Mean, and the ends of Student's interval for it, over seeds; one seed has no interval, None.

    For a paired comparison give the differences, seed by seed. Used by chapter 08.
    """
    from scipy.stats import t

    values = np.asarray(values, dtype=float)
    mean = float(values.mean())
    if len(values) < 2:
        return mean, None
    half = float(t.ppf(0.5 + level / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return mean, (mean - half, mean + half)


def paired_effect(one: Sequence[float], two: Sequence[float]) -> list[float]:
    """The first's mean lead over the second, paired by seed; then, from two seeds on, the ends of its interval."""
    mean, interval = seed_interval(np.subtract(one, two))
    return [mean, *(interval or ())]
