"""Exercises of chapter 08: the bound on entropy, the weight of a token under checkpoints, gates that undo the cache.

`exercises` lists them (lib/press/exercises.py says what an exercise is).
"""

from collections.abc import Callable

import numpy as np

from lib.analysis import entropy_bound
from lib.press.exercises import Exercise, NotYet


def _number(answer: Callable, *given: object) -> float:
    found = answer(*given)
    if found is None or np.ndim(found) != 0:
        raise NotYet(f"your function returned {found!r}; return one number")
    return float(found)


def bound_stub(segments):
    """The largest mean entropy, in nats, of gates over this many whole segments."""
    return 0.0


def bound_solution(segments):
    """Token after token, the i-th segment offers i entries, and ln i is the most that they allow."""
    return np.mean(np.log(np.arange(1, segments + 1)))


def bound_test(answer: Callable) -> None:
    """Compare with the library's own bound, where the likely slips give other numbers."""
    for segments in (8, 1, 16, 27):
        found, right = _number(answer, segments), entropy_bound(segments)
        if np.isclose(found, right, atol=1e-9):
            continue
        if np.isclose(found, np.log(segments), atol=1e-9):
            raise NotYet(f"ln {segments} is what the last segment allows; early ones see fewer entries, so take a mean")
        if np.isclose(found, np.mean(np.log(np.arange(1, segments + 1) + 1)), atol=1e-9):
            raise NotYet("the first segment has one entry, its own memory, and its entropy is 0")
        if np.isclose(found, right * segments, atol=1e-9):
            raise NotYet("that is the sum over segments; the metric is a mean over tokens")
        if np.isclose(found, right / np.log(2), atol=1e-9):
            raise NotYet("that is in bits; the post's entropies are in nats")
        raise NotYet(f"for {segments} segments the bound is {right:.4f}, not {found:.4f}")


def weight_stub(gates, segment):
    """What a token of `segment` counts, when `gates` weigh un-normalised checkpoints; the last gate is the current."""
    return 0.0


def weight_solution(gates, segment):
    """It is in every copy from its own segment on, and in the current memory."""
    return sum(gates[segment:])


def weight_test(answer: Callable) -> None:
    """Compare on gates where a missing copy shows."""
    gates = [0.1, 0.2, 0.3, 0.4]
    for segment, right in ((0, 1.0), (1, 0.9), (3, 0.4)):
        found = _number(answer, gates, segment)
        if np.isclose(found, right):
            continue
        if np.isclose(found, gates[segment]):
            raise NotYet("that is mode independent; a checkpoint holds everything from the start up to its end")
        if np.isclose(found, sum(gates[: segment + 1])):
            raise NotYet("a copy made before the token came cannot hold it; later ones do")
        if np.isclose(found, sum(gates[segment + 1 :])):
            raise NotYet("the copy at the end of its own segment holds it too")
        raise NotYet(f"with gates {gates} a token of segment {segment} counts {right:.1f}, not {found:.3g}")


def undo_stub(sums):
    """Gates that make normalised reads of independent memories one normalised read; `sums` holds Z of each."""
    return [0.0 for _ in sums]


def undo_solution(sums):
    """Each read is divided by its own Z; gates in proportion to Z multiply it back, over the sum of all."""
    return np.asarray(sums) / np.sum(sums)


def undo_test(answer: Callable) -> None:
    """Read three memories with the learner's gates and compare with one read of all pairs."""
    rng = np.random.default_rng(0)
    weights, values = [rng.uniform(0.2, 2.0, n) for n in (3, 5, 2)], [rng.normal(size=n) for n in (3, 5, 2)]
    sums = [each.sum() for each in weights]
    reads = [(w * v).sum() / z for w, v, z in zip(weights, values, sums, strict=True)]
    right = np.concatenate([w * v for w, v in zip(weights, values, strict=True)]).sum() / np.sum(sums)
    gates = answer(sums)
    if np.shape(gates) != (3,):
        raise NotYet(f"your function returned {gates!r}; return one gate for each of the three memories")
    gates = np.asarray(gates, dtype=float)
    if np.isclose(gates @ reads, right):
        return
    if np.allclose(gates, 1 / 3):
        raise NotYet("equal gates give each memory the same say, however many keys it holds near the query")
    if not np.isclose(gates.sum(), 1):
        raise NotYet(f"your gates sum to {gates.sum():.3g}; a softmax sums to 1")
    raise NotYet(f"with your gates the read is {gates @ reads:.4f}; one memory would answer {right:.4f}")


exercises = [
    Exercise(
        title="How spread can gates be",
        task="Write the largest mean entropy of gates over n whole segments, in nats.",
        difficulty=1,
        minutes=10,
        hint="A token of the first segment sees one entry, a token of the second two.",
        stub=bound_stub,
        solution=bound_solution,
        test=bound_test,
    ),
    Exercise(
        title="What an old token counts",
        task="Write the weight of a token under gated, un-normalised checkpoints.",
        difficulty=2,
        minutes=15,
        hint="Which of the copies were made after the token had been written?",
        stub=weight_stub,
        solution=weight_solution,
        test=weight_test,
    ),
    Exercise(
        title="Gates that undo the cache",
        task="Write gates under which normalised reads of independent memories equal plain linear attention.",
        difficulty=2,
        minutes=15,
        hint="Write both sides as fractions; what must a gate multiply to bring back a numerator?",
        stub=undo_stub,
        solution=undo_solution,
        test=undo_test,
    ),
]
