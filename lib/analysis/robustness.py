"""Is the longest loop longer than chance makes it? The audit of chapter 04: subsamples, null tables, one ratio.

The protocol and its seeds are those of the audited analysis (Obiohagwu 2026, "Robust but Not Unique"), so that a run on
the same table can be compared number by number.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.analysis.distances import distance_matrix
from lib.analysis.fingerprints import Representation
from lib.analysis.homology import farthest_points, persistence
from lib.analysis.nulls import draw_null
from lib.errors import BookError

LEVEL = 0.95
NULL_STEP = 10_000
LANDMARK_OFFSET = 500_000
LANDMARK_STEP = 1_000
EXTRA_STEP = 1_000_000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """One table to measure: a subsample of the data, or one null table made from it."""

    matrix: np.ndarray
    metric: str
    null: str | None
    null_seed: int
    landmarks: int | None
    landmark_seed: int


@dataclass(frozen=True)
class Route:
    """What one way of measuring saw.

    observed: for every run, the persistences of the data in falling order.
    nulls: for every null model, the same for its null tables, run by run.
    """

    observed: list[np.ndarray]
    nulls: dict[str, list[np.ndarray]]


@dataclass(frozen=True)
class Audit:
    """The audit of one representation: all points of each subsample, and its landmarks alone (None when not asked)."""

    representation: str
    points: int
    direct: Route
    landmark: Route | None


@dataclass(frozen=True)
class Robustness:
    """The summary that the post reports, and what it is made of.

    ratio: mean over runs of the largest persistence / the strongest null's 0.95 quantile of the same.
    feature_ratio: pooled 0.95 quantile of all persistences, data over the strongest null.
    run_fraction: share of runs whose largest persistence exceeds the null's quantile, smallest over null models.
    feature_run_fraction: share of runs with any loop above the null's pooled quantile, smallest over null models.
    strongest: the null model with the largest quantile.
    observed: largest persistence of each run, [R]. nulls: the same for each null model.
    thresholds: 0.95 quantile of each null model's largest persistences.
    """

    ratio: float
    feature_ratio: float
    run_fraction: float
    feature_run_fraction: float
    strongest: str
    observed: np.ndarray
    nulls: dict[str, np.ndarray]
    thresholds: dict[str, float]

    @property
    def neutral(self) -> float:
        """The ratio that the strongest null has against itself: mean / 0.95 quantile, hence below 1."""
        return float(self.nulls[self.strongest].mean() / self.thresholds[self.strongest])


def subsamples(rows: int, size: int, runs: int, seed: int) -> list[np.ndarray]:
    """Row indices of each run: `size` of `rows` without replacement, sorted, from default_rng(seed + run).

    All rows, every time, when there are no more than `size`. The same indices serve every representation of a table.
    Raises BookError for fewer than one run or fewer than four points, which cannot hold a loop.
    """
    if runs < 1 or size < 4:
        raise BookError(f"{runs} runs of {size} points cannot be audited: take at least 1 run of 4 points")
    if rows <= size:
        return [np.arange(rows)] * runs
    return [np.sort(np.random.default_rng(seed + run).choice(rows, size, replace=False)) for run in range(runs)]


def measure(task: Task) -> tuple[np.ndarray, np.ndarray | None]:
    """Persistences of one table, and of its landmarks when the task names a number of them."""
    table = task.matrix if task.null is None else draw_null(task.null, task.matrix, task.null_seed)
    between = distance_matrix(table, task.metric)
    if task.landmarks is None:
        return persistence(between), None
    count = min(task.landmarks, len(between))
    chosen = farthest_points(between, count, np.random.default_rng(task.landmark_seed))
    return persistence(between), persistence(between[np.ix_(chosen, chosen)])


def measure_once(task: Task, folder: Path | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """`measure`, or what it found before: kept in the folder under a hash of the whole task.

    The folder must be one that no other version of the code has written to. None keeps nothing.
    """
    if folder is None:
        return measure(task)
    words = [task.metric, task.null, task.null_seed, task.landmarks, task.landmark_seed, str(task.matrix.dtype)]
    known = hashlib.sha256(json.dumps([*words, task.matrix.shape]).encode())
    known.update(np.ascontiguousarray(task.matrix).tobytes())
    path = folder / f"{known.hexdigest()[:32]}.npz"
    if path.exists():
        with np.load(path) as kept:
            return kept["direct"], kept.get("landmark")
    direct, landmark = measure(task)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    with partial.open("wb") as file:
        np.savez(file, direct=direct, **({} if landmark is None else {"landmark": landmark}))
    partial.replace(path)
    return direct, landmark


def measure_all(
    tasks: Sequence[Task], workers: int = 1, folder: Path | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """Measure the tasks in order: in this process, or in `workers` fresh ones (ripser holds the interpreter's lock).

    The results do not depend on the number of workers: every random draw has its own seed. folder: as `measure_once`.
    """
    if workers < 1:
        raise BookError(f"{workers} workers cannot work: give 1 or more")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    one = functools.partial(measure_once, folder=folder)
    if workers == 1:
        yield from map(one, tasks)
        return
    yield from _processes(workers).map(one, tasks)


@functools.cache
def _processes(workers: int) -> Executor:
    """Worker processes that serve every audit of this process: starting them costs as much as a table."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    atexit.register(pool.shutdown)
    return pool


def audit(
    representation: Representation,
    *,
    size: int,
    runs: int,
    seed: int = 0,
    landmarks: int | None = None,
    workers: int = 1,
    folder: Path | None = None,
) -> Audit:
    """Persistences of `runs` subsamples of `size` points and of one null table of each kind per run.

    Null model j (counted from 1, in the representation's order) of run r has the seed `seed + r + 10,000 j`;
    landmarks start at a point drawn with `seed + r + 500,000`, plus 1,000 j for null model j.
    At 1,000 points one table takes 1 to 3 seconds; 250 take a tenth of one. workers, folder: as `measure_all`.
    """
    tasks = []
    indices = subsamples(len(representation.matrix), size, runs, seed)
    for run, rows in enumerate(indices):
        for order, null in enumerate((None, *representation.nulls)):
            start = seed + run
            tasks.append(
                Task(
                    representation.matrix[rows],
                    representation.metric,
                    null,
                    start + NULL_STEP * order,
                    landmarks,
                    start + LANDMARK_OFFSET + LANDMARK_STEP * order,
                )
            )
    measured = []
    for number, result in enumerate(measure_all(tasks, workers, folder), start=1):
        measured.append(result)
        log.info("%s: %d of %d tables", representation.name, number, len(tasks))
    routes = [_route(representation.nulls, [result[way] for result in measured]) for way in (0, 1)]
    return Audit(representation.name, len(indices[0]), routes[0], routes[1] if landmarks else None)


def _route(nulls: tuple[str, ...], values: list) -> Route:
    stride = 1 + len(nulls)
    return Route(values[::stride], {name: values[order::stride] for order, name in enumerate(nulls, start=1)})


def largest(runs: Sequence[np.ndarray]) -> np.ndarray:
    """The largest persistence of every run, 0 where there is no loop. Returns [R]."""
    return np.array([values[0] if len(values) else 0.0 for values in runs])


def pooled_quantile(runs: Sequence[np.ndarray], level: float = LEVEL) -> float:
    """Linear-interpolated quantile of the persistences of all runs together; 0 where there is no loop."""
    pooled = np.concatenate(list(runs))
    return float(np.quantile(pooled, level)) if pooled.size else 0.0


def summarise(route: Route) -> Robustness:
    """The robustness ratio and its companions (chapter 04, "The idea"; the audit's main statistic).

    Raises BookError when no null table shows a loop, because the ratio then has no denominator.
    """
    observed = largest(route.observed)
    nulls = {name: largest(runs) for name, runs in route.nulls.items()}
    thresholds = {name: float(np.quantile(values, LEVEL)) for name, values in nulls.items()}
    features = {name: pooled_quantile(runs) for name, runs in route.nulls.items()}
    strongest = max(thresholds, key=thresholds.__getitem__)
    if thresholds[strongest] <= 0 or max(features.values()) <= 0:
        raise BookError("no null table shows a loop, so there is no ratio to take: measure more points")
    above = [[values.max(initial=0.0) > limit for values in route.observed] for limit in features.values()]
    return Robustness(
        ratio=float(observed.mean() / thresholds[strongest]),
        feature_ratio=pooled_quantile(route.observed) / max(features.values()),
        run_fraction=min(float(np.mean(observed > limit)) for limit in thresholds.values()),
        feature_run_fraction=min(float(np.mean(runs)) for runs in above),
        strongest=strongest,
        observed=observed,
        nulls=nulls,
        thresholds=thresholds,
    )


def null_maxima(
    representation: Representation,
    *,
    size: int,
    draws: int,
    seed: int = 0,
    workers: int = 1,
    folder: Path | None = None,
) -> tuple[float, dict[str, np.ndarray]]:
    """The largest persistence of the first subsample, and of `draws` null tables of each kind made from it.

    This is what an exact permutation test needs and what eight draws cannot give (chapter 04, "Pushing further").
    Draw i of null model j has the seed `seed + 1,000,000 j + i`. Returns the observed value and {null: [draws]}.
    workers, folder: as `measure_all`.
    """
    if draws < 1:
        raise BookError(f"{draws} null draws make no test: take 19 or more for a level of 0.05")
    matrix = representation.matrix[subsamples(len(representation.matrix), size, 1, seed)[0]]
    tasks = [Task(matrix, representation.metric, None, seed, None, seed)]
    for order, null in enumerate(representation.nulls, start=1):
        for draw in range(draws):
            tasks.append(Task(matrix, representation.metric, null, seed + EXTRA_STEP * order + draw, None, seed))
    maxima = []
    for number, (values, _) in enumerate(measure_all(tasks, workers, folder), start=1):
        maxima.append(values[0] if len(values) else 0.0)
        log.info("%s: %d of %d tables for the permutation test", representation.name, number, len(tasks))
    parts = np.split(np.array(maxima[1:]), len(representation.nulls))
    return float(maxima[0]), dict(zip(representation.nulls, parts, strict=True))


def redrawn_ratios(
    observed: float | np.ndarray,
    maxima: dict[str, np.ndarray],
    generator: np.random.Generator,
    repeats: int = 1000,
    draws: int = 8,
) -> np.ndarray:
    """The ratio again and again, each time with `draws` fresh null tables per model taken from a larger pool.

    observed: the numerator, a mean of largest persistences; or the largest persistence of every run, [R], from which R
    are drawn anew with replacement for each ratio (a bootstrap over runs). maxima: {null: [pool]} as `null_maxima`
    returns them, all made from one subsample. Returns [repeats]: how much the ratio owes to the luck of its few null
    tables, and of its runs (chapter 04, "Pushing further"). Raises BookError when a pool is smaller than `draws`.
    """
    smallest = min(len(pool) for pool in maxima.values())
    if smallest < draws:
        raise BookError(f"a pool of {smallest} null tables cannot be drawn from {draws} at a time: make a larger pool")
    limits = np.zeros(repeats)
    for pool in maxima.values():
        chosen = generator.permuted(np.tile(pool, (repeats, 1)), axis=1)[:, :draws]
        limits = np.maximum(limits, np.quantile(chosen, LEVEL, axis=1))
    runs = np.atleast_1d(observed)
    return generator.choice(runs, (repeats, len(runs))).mean(axis=1) / limits
