"""Which proxy foresees the loss: correlations over conditions, with intervals that resample models and text together.

    board = leaderboard(conditions, generator=np.random.default_rng(0))
    board.correlation["swd"], board.interval["swd"]
    board.lift["swd"], board.lift_interval["swd"]       # over R2, drawn in pairs

A condition is one way to rebuild the activations of one model. Conditions of a model are no independent evidence, and
all conditions share their text; so a draw takes models with replacement and sequences with replacement, and works out
every proxy and every loss anew. With few models the intervals are wide or too narrow; they cannot be trusted below
three. Chapter 06.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import rankdata

from lib.analysis.sensitivity import PROXIES, Distortions
from lib.errors import BookError

INVERTED = ("nmse", "swd", "slope")  # the post takes one over these


@dataclass(frozen=True)
class Condition:
    """One reconstruction, scored. stream: the activations that it rebuilds; cluster: what is resampled as one."""

    found: Distortions
    stream: str
    cluster: str


@dataclass(frozen=True)
class Board:
    """For every proxy its correlation with the target, what it has over the reference, and 95 % intervals of both."""

    correlation: dict[str, float]
    interval: dict[str, tuple[float, float]]
    lift: dict[str, float]
    lift_interval: dict[str, tuple[float, float]]

    @property
    def ranking(self) -> list[str]:
        """The proxies, best first."""
        return sorted(self.correlation, key=self.correlation.get, reverse=True)

    def verdict(self, proxy: str) -> str:
        """wins, loses or ties: whether the interval of its lift over the reference lies above, below or about zero."""
        low, high = self.lift_interval[proxy]
        return "wins" if low > 0 else "loses" if high < 0 else "ties"


def leaderboard(
    conditions: list[Condition],
    *,
    generator: np.random.Generator,
    target: Literal["added", "ce"] = "added",
    measure: Literal["spearman", "pearson"] = "spearman",
    within: bool = False,
    reference: str = "r2",
    draws: int = 500,
) -> Board:
    """Correlate every proxy with the target over conditions.

    measure: of ranks, or of scores as the post forms them (R2, cosine, one over the distortions; costs in nats as they
    are) with the target as it is kept. within: one correlation a stream, then their mean. Scores are positive when a
    proxy foresees the target. Raises BookError for fewer than three conditions of a stream or in all, or texts that
    differ in length.
    """
    lengths = {len(one.found.tokens) for one in conditions}
    groups = {one.stream: [i for i, other in enumerate(conditions) if other.stream == one.stream] for one in conditions}
    smallest = min(map(len, groups.values()), default=0) if within else len(conditions)
    if smallest < 3 or len(lengths) != 1:
        raise BookError(
            f"{smallest} conditions on texts of {sorted(lengths)} sequences; give 3 or more on the same text"
        )
    n = lengths.pop()
    weights = np.vstack([np.ones(n), generator.multinomial(n, np.full(n, 1 / n), size=draws)]).astype(float)
    table = _table(conditions, weights, target, measure)  # [1 + draws, proxies + 1, conditions]
    clusters = sorted({one.cluster for one in conditions})
    found = np.empty((draws + 1, len(PROXIES)))
    for draw, values in enumerate(table):
        chosen = clusters if draw == 0 else generator.choice(clusters, len(clusters))
        found[draw] = _correlations(values, _picked(conditions, groups, chosen, within), measure)
    lift = found - found[:, [PROXIES.index(reference)]]
    ends, lift_ends = (np.nanquantile(part[1:], [0.025, 0.975], axis=0).T for part in (found, lift))
    return Board(
        correlation=dict(zip(PROXIES, found[0].tolist(), strict=True)),
        interval=dict(zip(PROXIES, map(tuple, ends.tolist()), strict=True)),
        lift=dict(zip(PROXIES, lift[0].tolist(), strict=True)),
        lift_interval=dict(zip(PROXIES, map(tuple, lift_ends.tolist()), strict=True)),
    )


def _table(conditions: list[Condition], weights: np.ndarray, target: str, measure: str) -> np.ndarray:
    rows = []
    for one in conditions:
        proxies, aim = one.found.proxies(weights), one.found.targets(weights)[target]
        if measure == "pearson":  # as scores: larger is better, on both sides
            proxies = {name: 1 / value if name in INVERTED else -value for name, value in proxies.items()}
            aim = -aim
        rows.append(np.stack([*proxies.values(), aim], axis=1))
    return np.stack(rows, axis=2)


def _picked(conditions: list[Condition], groups: dict, chosen: list[str], within: bool) -> list[list[int]]:
    """The conditions of the drawn clusters: one list, or one a stream."""
    if within:
        return [rows for cluster in chosen for rows in groups.values() if conditions[rows[0]].cluster == cluster]
    return [[i for cluster in chosen for i, one in enumerate(conditions) if one.cluster == cluster]]


def _correlations(values: np.ndarray, parts: list[list[int]], measure: str) -> np.ndarray:
    """Correlation of each row of values [proxies + 1, conditions] with the last one, mean over the parts."""
    found = []
    for rows in parts:
        part = values[:, rows]
        part = rankdata(part, axis=1) if measure == "spearman" else part
        centred = part - part.mean(axis=1, keepdims=True)
        size = np.sqrt((centred**2).sum(axis=1))
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append((centred[:-1] @ centred[-1]) / (size[:-1] * size[-1]))
    return np.mean(found, axis=0)
