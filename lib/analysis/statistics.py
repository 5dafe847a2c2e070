"""Small counts told honestly: intervals, exact tests, and what a quantile of a few draws is made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lib.errors import BookError


def wilson_interval(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a share (Wilson 1927), sound even at 0 and at all. Returns (low, high)."""
    from scipy.stats import norm

    _check_level(level)
    if trials < 1 or not 0 <= successes <= trials:
        raise BookError(
            f"{successes} of {trials} is no share: successes must lie between 0 and trials, trials from 1 up"
        )
    z = norm.ppf(0.5 + level / 2)
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    low = 0.0 if successes == 0 else float(centre - half)
    high = 1.0 if successes == trials else float(centre + half)
    return low, high


def permutation_p(observed: float, null: np.ndarray) -> float:
    """Exact one-sided permutation p-value (1 + #{null >= observed}) / (1 + n) (Phipson and Smyth 2010, eq. 2).

    null: [n] draws of the statistic under the null. Never 0; the smallest possible value is 1 / (1 + n).
    """
    draws = np.asarray(null, dtype=float)
    if draws.size == 0 or not np.isfinite(draws).all() or not np.isfinite(observed):
        raise BookError("a permutation test needs one finite observed value and at least one finite null draw")
    return float((1 + np.count_nonzero(draws >= observed)) / (1 + draws.size))


def bootstrap_interval(
    values: np.ndarray,
    generator: np.random.Generator,
    statistic: Callable[[np.ndarray], float] = np.mean,
    draws: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of independent values (Efron 1979).

    values: [n, ...], resampled along the first axis. Too narrow for values that share data: subsamples that overlap
    are not independent, and then the interval is a description of the spread, not a confidence interval.
    """
    _check_level(level)
    sample = np.asarray(values)
    if len(sample) < 2 or draws < 1:
        raise BookError(f"{len(sample)} values and {draws} draws give no interval: take at least 2 values and 1 draw")
    rows = generator.integers(len(sample), size=(draws, len(sample)))
    repeated = np.array([statistic(sample[row]) for row in rows])
    low, high = np.quantile(repeated, [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)


def fisher_exact(table: list[list[int]], alternative: str = "two-sided") -> tuple[float, float]:
    """Fisher's exact test of a 2 x 2 table of counts. Returns (odds ratio, p); alternative as in scipy."""
    from scipy import stats

    counts = np.asarray(table)
    if counts.shape != (2, 2) or counts.min() < 0:
        raise BookError(f"{table} is not a 2 x 2 table of counts: give [[a, b], [c, d]], each 0 or more")
    result = stats.fisher_exact(counts, alternative=alternative)
    return float(result.statistic), float(result.pvalue)


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Exact paired test of two methods on the same cases (McNemar 1947, binomial form). Returns a two-sided p.

    only_first, only_second: cases that one method alone got right. Cases on which both agree say nothing.
    """
    from scipy.stats import binomtest

    if only_first < 0 or only_second < 0:
        raise BookError(f"discordant counts {only_first} and {only_second} must be 0 or more")
    discordant = only_first + only_second
    return 1.0 if discordant == 0 else float(binomtest(only_first, discordant, 0.5).pvalue)


def order_weights(count: int, level: float) -> np.ndarray:
    """How much each sorted value weighs in numpy's linear-interpolated quantile (type 7 of Hyndman and Fan 1996).

    Returns [count], summing to 1: for 8 values and level 0.95, 0.35 on the seventh and 0.65 on the eighth.
    """
    if count < 1 or not 0 <= level <= 1:
        raise BookError(f"quantile {level} of {count} values does not exist: level from 0 to 1, at least one value")
    place = level * (count - 1)
    below = min(int(np.floor(place)), count - 1)
    weights = np.zeros(count)
    weights[below] += 1 - (place - below)
    if place > below:
        weights[below + 1] += place - below
    return weights


def exceedance_bounds(count: int, level: float) -> tuple[float, float]:
    """How often one more draw exceeds the interpolated quantile of `count` draws: exact bounds (low, high).

    Holds for any continuous distribution, because a fresh draw is equally likely to fall in each of the count + 1 gaps
    between sorted draws. For 8 draws and level 0.95: from 1/9 to 2/9, not 1/20 (chapter 04, "Measure it").
    """
    above = [count - place for place in np.flatnonzero(order_weights(count, level) > 1e-9).tolist()]
    return min(above) / (count + 1), max(above) / (count + 1)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise BookError(f"a confidence level of {level} is not between 0 and 1: 0.95 is usual")
