"""Several tests at once: p-values that hold for all of them together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lib.errors import BookError


def max_statistic_p(observed: Mapping[str, float], nulls: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Permutation p-values that hold for all of several statistics at once (Westfall and Young 1993, single step).

    observed: one value for each name; nulls: [draws] for each name, equally many, large values being extreme. Each
    statistic is put in units of its own null (mean 0, spread 1, the observed value taken in, so that it is
    exchangeable with its draws); its p is the share of draws whose largest of all statistics reaches it. Where the
    nulls were drawn apart, as in chapter 04, their largest is that of independent statistics: larger than that of
    statistics which rise and fall together, so the p errs upwards.
    Raises BookError for unequal numbers of draws or a null that does not vary.
    """
    sizes = {len(values) for values in nulls.values()}
    if len(sizes) != 1 or set(observed) != set(nulls):
        raise BookError(f"nulls of {sorted(sizes)} draws for {sorted(observed)}: draw equally many for each of them")
    table = np.array([[observed[name], *nulls[name]] for name in observed], dtype=float)
    spread = table.std(axis=1, keepdims=True)
    if not spread.all():
        name = list(observed)[int(np.argmin(spread))]
        raise BookError(f"the null of {name} does not vary: it can test nothing")
    scaled = (table - table.mean(axis=1, keepdims=True)) / spread
    largest = scaled.max(axis=0)
    return {name: float(np.mean(largest >= row[0])) for name, row in zip(observed, scaled, strict=True)}
