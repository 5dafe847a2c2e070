"""Differences between two models with seeds as the unit: one difference a seed, then a mean and its interval.

Sequences are many and seeds are few. An interval over sequences says how well one pair of models was measured; only an
interval over seeds says something of the models as a kind. Chapters 05 and 06.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lib.errors import BookError

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Delta:
    """One difference a seed, their mean, and Student's 95 % interval of the mean; one seed has no interval."""

    by_seed: dict[int, float]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(list(self.by_seed.values())))

    @property
    def interval(self) -> tuple[float, float] | None:
        """Mean plus and minus t(n - 1) standard errors, None for a single seed."""
        from scipy.stats import t

        values = np.array(list(self.by_seed.values()))
        if len(values) < 2:
            return None
        half = float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
        return self.mean - half, self.mean + half


def deltas(table: pandas.DataFrame, measure: str, low: int, high: int) -> dict[int, Delta]:
    """The measure at width `high` minus at width `low`, for every k: {k: Delta} over the seeds that have both.

    table: one row a trained autoencoder with the columns width, seed, k and the measure; one row for each of those
    combinations. Raises BookError when two rows share one, or no seed has both widths.
    """
    cells = {}
    for width, seed, k, value in table[["width", "seed", "k", measure]].itertuples(index=False):
        if (width, seed, k) in cells:
            raise BookError(f"width {width}, seed {seed}, k {k} has two rows; choose one depth and one budget")
        cells[width, seed, k] = value
    found: dict[int, dict[int, float]] = {}
    for width, seed, k in sorted(cells):
        if width == high and (low, seed, k) in cells:
            found.setdefault(int(k), {})[int(seed)] = float(cells[high, seed, k] - cells[low, seed, k])
    if not found:
        raise BookError(f"no seed has both widths {low} and {high}; train the same seeds at both")
    return {k: Delta(found[k]) for k in sorted(found)}
