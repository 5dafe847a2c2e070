"""Exercises of chapter 05: effective directions, a shift that no LayerNorm sees, the k at which a score is reached.

`exercises` lists them (lib/press/exercises.py says what an exercise is).
"""

from collections.abc import Callable

import numpy as np

from lib.analysis import proxy_gap
from lib.press.answers import number
from lib.press.exercises import Exercise, NotYet


def directions_stub(variances):
    """The participation ratio of variances, one a direction."""
    return 0.0


def directions_solution(variances):
    """The square of the sum over the sum of the squares."""
    return np.sum(variances) ** 2 / np.sum(np.square(variances))


def directions_test(answer: Callable) -> None:
    """Equal variances count all, a dominating one counts one, and units do not matter."""
    for variances in ([1.0, 1.0, 1.0, 1.0], [5.0, 5.0], [1000.0, 1.0, 1.0], [4.0, 2.0, 1.0]):
        expected = directions_solution(np.array(variances))
        given = number(answer(np.array(variances)), f"for variances {variances}")
        if np.isclose(given, expected, rtol=1e-6):
            continue
        if np.isclose(given, 1 / expected, rtol=1e-6):
            raise NotYet(f"for variances {variances} you gave {given:.3f}; that is upside down")
        if np.isclose(given, np.sum(variances) / np.sum(np.square(variances)), rtol=1e-6):
            raise NotYet(f"for variances {variances} you gave {given:.3f}; square the sum, or the units stay in")
        raise NotYet(f"for variances {variances} the answer is {expected:.3f}, not {given:.3f}")


def shift_stub(stream, amount):
    """A stream [T, D] with something added to each row: length `amount`, and no LayerNorm sees it."""
    return stream


def shift_solution(stream, amount):
    """The same number on every coordinate of a row: LayerNorm takes the mean out."""
    return stream + amount / np.sqrt(stream.shape[1])


def _layer_norm(x: np.ndarray) -> np.ndarray:
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)


def shift_test(answer: Callable) -> None:
    """The normalised rows stay; the rows move by the length that was asked for."""
    for width, amount in ((8, 3.0), (50, 0.5)):
        stream = np.random.default_rng(width).normal(size=(5, width))
        given = answer(stream.copy(), amount)
        if given is None or np.shape(given) != stream.shape:
            raise NotYet(f"return an array of shape {stream.shape}, the stream with something added")
        moved = np.linalg.norm(given - stream, axis=1)
        if np.allclose(moved, 0):
            raise NotYet("nothing was added; the stream is to move, only LayerNorm must not see it")
        if not np.allclose(_layer_norm(np.asarray(given)), _layer_norm(stream), atol=1e-6):
            raise NotYet("LayerNorm sees it; which part of a row does it take out first?")
        if not np.allclose(moved, amount):
            raise NotYet(f"each row moved by {moved[0]:.3f}, not by {amount}; how long is a row of {width} ones?")


def smallest_k_stub(ks, scores, threshold):
    """The smallest k at which the score reaches the threshold, linear in between; None if it never does."""
    return 0.0


def smallest_k_solution(ks, scores, threshold):
    """Walk up the grid; interpolate in the first step that crosses."""
    if scores[0] >= threshold:
        return ks[0]
    for i in range(1, len(ks)):
        if scores[i] >= threshold:
            share = (threshold - scores[i - 1]) / (scores[i] - scores[i - 1])
            return ks[i - 1] + share * (ks[i] - ks[i - 1])
    return None


def smallest_k_test(answer: Callable) -> None:
    """Inside a step, at the first k, and never; and where the score dips after it was reached."""
    grids = ([8, 16, 32, 64], [0.37, 0.58, 0.73, 0.84]), ([8, 16, 32], [0.5, 0.9, 0.7])
    for ks, scores in grids:
        for threshold in (0.3, 0.6, 0.8, 0.95):
            expected = proxy_gap.k_star(ks, scores, threshold)
            given = answer(ks, scores, threshold)
            case = f"with scores {scores} and threshold {threshold}"
            if expected is None:
                if given is not None:
                    raise NotYet(f"{case} it is never reached: return None, not {given!r}")
                continue
            found = number(given, case)
            if not np.isclose(found, expected):
                hint = "; a later dip does not count" if scores[-1] < max(scores) and found > expected else ""
                raise NotYet(f"{case} the answer is {expected:.2f}, not {found:.2f}{hint}")


exercises = [
    Exercise(
        title="how many directions",
        task="Write the participation ratio: how many equal directions would spread the variance as these do.",
        difficulty=1,
        minutes=5,
        hint="For one direction it is 1, for n equal ones it is n, and doubling all variances changes nothing.",
        stub=directions_stub,
        solution=directions_solution,
        test=directions_test,
    ),
    Exercise(
        title="the invisible direction",
        task="Add something of a given length to every row of a stream, so that LayerNorm of the row stays as it was.",
        difficulty=2,
        minutes=10,
        hint="LayerNorm first subtracts the mean over the coordinates of a row.",
        stub=shift_stub,
        solution=shift_solution,
        test=shift_test,
    ),
    Exercise(
        title="the k that is enough",
        task="Find the smallest k at which a score reaches a threshold, on a straight line between the ks measured.",
        difficulty=2,
        minutes=10,
        hint="The first step of the grid that ends at or above the threshold is the one to divide.",
        stub=smallest_k_stub,
        solution=smallest_k_solution,
        test=smallest_k_test,
    ),
]
