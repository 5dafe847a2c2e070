"""Exercises of chapter 04: the loop of a polygon, the robustness ratio, the permutation test.

`exercises` lists them (lib/press/exercises.py says what an exercise is).
"""

from collections.abc import Callable

import numpy as np

from lib.analysis import distance_matrix, h1_diagram
from lib.press.exercises import Exercise, NotYet


def _pair(answer: Callable, count: int) -> np.ndarray:
    given = answer(count)
    if given is None:
        raise NotYet(f"for {count} points your function returned None; return the pair (birth, death)")
    values = np.asarray(given, dtype=float)
    if values.shape != (2,):
        raise NotYet(f"for {count} points your function returned {given!r}; return two numbers, (birth, death)")
    return values


def polygon_stub(count):
    """Birth and death of the loop of `count` points, evenly spaced on a circle of radius 1; count is 4 or more."""
    birth, death = 0.0, 0.0
    return birth, death


def polygon_solution(count):
    """Born when neighbours connect; dead when a chord spans at least a third of the circle."""
    birth = 2 * np.sin(np.pi / count)
    death = 2 * np.sin(np.pi * np.ceil(count / 3) / count)
    return birth, death


def polygon_test(answer: Callable) -> None:
    """Compare with the diagram that ripser finds for real polygons."""
    for count in (6, 4, 5, 7, 9, 20):
        angle = 2 * np.pi * np.arange(count) / count
        expected = h1_diagram(distance_matrix(np.column_stack([np.cos(angle), np.sin(angle)]), "euclidean"))[0]
        given = _pair(answer, count)
        if np.allclose(given, expected, atol=1e-5):
            continue
        if np.allclose(2 * given, expected, atol=1e-5):
            raise NotYet("every value is half of what it should be: the scale is the distance, not the ball's radius")
        if not np.isclose(given[0], expected[0], atol=1e-5):
            raise NotYet(f"the loop of {count} points is born at its side, {expected[0]:.4f}, not at {given[0]:.4f}")
        if np.isclose(given[1], np.sqrt(3), atol=1e-5):
            raise NotYet(f"{count} points have no inscribed equilateral triangle, so the loop outlives the root of 3")
        if given[1] < expected[1]:
            raise NotYet(
                f"at {given[1]:.4f} no triangle of the {count} points holds the centre yet: round up, not down"
            )
        raise NotYet(f"the loop of {count} points dies at {expected[1]:.4f}, not at {given[1]:.4f}")


def ratio_stub(observed, nulls):
    """The robustness ratio. observed: one maximum a run; nulls: {model: one maximum a run}."""
    return 0.0


def ratio_solution(observed, nulls):
    """Mean of the data over the largest 0.95 quantile of the null models."""
    return np.mean(observed) / max(np.quantile(values, 0.95) for values in nulls.values())


def ratio_test(answer: Callable) -> None:
    """Compare on data where each likely slip gives another number."""
    rng = np.random.default_rng(0)
    observed = rng.uniform(1.0, 3.0, 8) ** 2
    nulls = {"swap": rng.uniform(1.0, 1.4, 8), "permutation": rng.uniform(0.2, 1.6, 8)}
    thresholds = [np.quantile(values, 0.95) for values in nulls.values()]
    mean = np.mean(observed)
    given = answer(observed, nulls)
    if given is None or np.ndim(given) != 0:
        raise NotYet(f"your function returned {given!r}; return one number")
    slips = {
        mean
        / max(values.max() for values in nulls.values()): "that divides by the largest null value, not its quantile",
        mean / min(thresholds): "that is the weakest null model; take the one with the largest quantile",
        mean / np.mean(thresholds): "that averages the null models; take the one with the largest quantile",
        mean
        / np.quantile(np.concatenate(list(nulls.values())), 0.95): "that pools the models; take each one's quantile",
        np.median(observed) / max(thresholds): "that is the median over runs; the ratio takes their mean",
        np.max(observed) / max(thresholds): "that is the best run; the ratio takes the mean over runs",
        max(thresholds) / mean: "that is upside down: the data belong in the numerator",
    }
    for value, said in slips.items():
        if np.isclose(given, value, rtol=1e-9):
            raise NotYet(said)
    if not np.isclose(given, mean / max(thresholds), rtol=1e-9):
        raise NotYet(
            f"your ratio is {given:.4f}; the mean of the data over the strongest null's 0.95 quantile is not that"
        )


def permutation_stub(observed, null):
    """The exact permutation p-value of an observed value, given draws of it under the null."""
    return 0.0


def permutation_solution(observed, null):
    """The observed value is itself one of the arrangements, so it counts once on both sides."""
    return (1 + np.sum(np.asarray(null) >= observed)) / (1 + len(null))


def permutation_test(answer: Callable) -> None:
    """Compare on cases where a missing one, a strict sign or a wrong tail shows."""
    beyond = answer(9.0, np.arange(4.0))
    if beyond is None or np.ndim(beyond) != 0:
        raise NotYet(f"your function returned {beyond!r}; return one number")
    if beyond == 0:
        raise NotYet("four draws cannot make a p-value of 0: count the observed value among the arrangements")
    cases = [(9.0, [0, 1, 2, 3], 1 / 5), (2.0, [0, 1, 2, 3], 3 / 5), (-1.0, [0, 1, 2, 3], 1.0), (5.0, [5.0] * 19, 1.0)]
    for observed, null, expected in cases:
        given = answer(observed, np.array(null, dtype=float))
        if np.isclose(given, expected):
            continue
        strict = (1 + sum(value > observed for value in null)) / (1 + len(null))
        if np.isclose(given, strict):
            raise NotYet("a null draw equal to the observed value counts against it: use >=, not >")
        if np.isclose(given, (1 + sum(value <= observed for value in null)) / (1 + len(null))):
            raise NotYet("that is the other tail: count the null draws that are at least as large")
        raise NotYet(f"for {observed} against {list(null)} the answer is {expected:.3g}, not {given:.3g}")


exercises = [
    Exercise(
        title="The loop of a polygon",
        task="Write the birth and the death of the one loop of a regular polygon on the unit circle.",
        difficulty=2,
        minutes=15,
        hint="Two points k steps apart are 2 sin(pi k / n) apart. The loop is filled by the first triangle that holds "
        "the centre, and such a triangle has a side that spans at least a third of the circle.",
        stub=polygon_stub,
        solution=polygon_solution,
        test=polygon_test,
    ),
    Exercise(
        title="The robustness ratio",
        task="Write the ratio that the post reports, from the maxima of the runs and of the null tables.",
        difficulty=1,
        minutes=10,
        hint="One number for the data, one for each null model; the strongest null model decides.",
        stub=ratio_stub,
        solution=ratio_solution,
        test=ratio_test,
    ),
    Exercise(
        title="A p-value that cannot be zero",
        task="Write the exact permutation p-value that the audit puts beside the ratio.",
        difficulty=1,
        minutes=10,
        hint="Under the null, data and null tables are exchangeable: the data are one of n + 1 equally likely draws.",
        stub=permutation_stub,
        solution=permutation_solution,
        test=permutation_test,
    ),
]
