"""The harness of chapter 01: shares with intervals, paired tests, confusions, and what unstated sizes leave open.

It looks at graded answers (a kind, a verdict, an outcome, a text), not at how they were made or scored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import numpy as np

from lib.errors import BookError

from .statistics import bootstrap_interval, fisher_exact, mcnemar_exact, wilson_interval

# What was done with a question, for the confusion of unknown equipment with misspelled names.
ACTS = ("refused", "asked tag", "another tag", "public name", "other")
_ACT = {
    "refused": "refused",
    "trap": "another tag",
    "other_tag": "another tag",
    "verbose": "public name",
}


@dataclass(frozen=True)
class Graded:
    """One answer after scoring."""

    kind: str
    """The scenario."""
    subclass: str
    """Its form, or an empty text."""
    right: bool
    """Whether it was right by the scenario's own criterion."""
    outcome: str
    """What was said (`lib.rewards.tags.OUTCOMES`)."""
    total: float = 0.0
    """The reward."""


@dataclass(frozen=True)
class Share:
    """A count of right answers, with Wilson's 95 % interval."""

    right: int
    """Right answers."""
    asked: int
    """Questions."""
    interval: tuple[float, float]
    """Wilson's 95 % interval of the share."""

    @property
    def share(self) -> float:
        """Right answers over questions."""
        return self.right / self.asked


@dataclass(frozen=True)
class Paired:
    """Two models on the same questions."""

    only_first: int
    """Questions that the first alone got right."""
    only_second: int
    """Questions that the second alone got right."""
    difference: float
    """Share of the second minus share of the first."""
    p: float
    """McNemar's exact two-sided p."""


def share(right: Iterable[bool]) -> Share:
    """The share of true marks with its interval. Raises BookError for none at all."""
    marks = [bool(mark) for mark in right]
    if not marks:
        raise BookError("a share of no answers does not exist: grade at least one")
    return Share(sum(marks), len(marks), wilson_interval(sum(marks), len(marks)))


def by_scenario(answers: Sequence[Graded], subclasses: bool = False) -> dict[str, Share]:
    """Shares per scenario, in order of appearance, and "overall" last.

    With `subclasses` also one row per form, such as "reverse/cueless". Chapter 01, measure it.
    """
    groups: dict[str, list[bool]] = {}
    for answer in answers:
        groups.setdefault(answer.kind, []).append(answer.right)
        if subclasses and answer.subclass:
            groups.setdefault(f"{answer.kind}/{answer.subclass}", []).append(answer.right)
    groups["overall"] = [answer.right for answer in answers]
    return {name: share(marks) for name, marks in groups.items()}


def paired(first: Sequence[Graded], second: Sequence[Graded]) -> Paired:
    """The exact paired test of two models that answered the same questions in the same order.

    Raises BookError when the two lists do not ask the same scenarios in the same order.
    """
    asked = [(answer.kind, answer.subclass) for answer in first]
    if not first or asked != [(answer.kind, answer.subclass) for answer in second]:
        raise BookError(
            f"{len(first)} and {len(second)} answers are not to the same questions: grade both models on one list"
        )
    only_first = sum(a.right and not b.right for a, b in zip(first, second, strict=True))
    only_second = sum(b.right and not a.right for a, b in zip(first, second, strict=True))
    gain = (only_second - only_first) / len(first)
    return Paired(only_first, only_second, gain, mcnemar_exact(only_first, only_second))


def gain(
    first: Sequence[Graded], runs: Sequence[Sequence[Graded]], rng: np.random.Generator, kind: str = "overall"
) -> tuple[float, float, float]:
    """How much larger the share right of some runs is than that of a first model, with a 95 % bootstrap interval.

    Every question's gain is averaged over the runs (seeds of one recipe), then questions are drawn again: the interval
    holds the luck of the questions, not that of the few seeds. kind: a scenario, a form such as "reverse/cue", or
    "overall". Raises BookError when the lists ask other questions or none of that kind. Chapter 01, measure it.
    """
    for run in runs:
        paired(first, run)  # refuses lists that ask other questions
    rows = [row for row, one in enumerate(first) if kind in ("overall", one.kind, f"{one.kind}/{one.subclass}")]
    if not rows or not runs:
        raise BookError(f"{len(runs)} runs and {len(rows)} questions of kind {kind!r} give no gain: at least one each")
    gains = np.array([np.mean([run[row].right for run in runs]) - first[row].right for row in rows])
    return float(gains.mean()), *bootstrap_interval(gains, rng)


def confusion(answers: Sequence[Graded], kinds: Sequence[str] = ("unknown", "typo")) -> np.ndarray:
    """What was asked against what was done: int [kinds, ACTS].

    For unknown equipment a right answer is a refusal and any real tag is "another tag"; for the other kinds a right
    answer names the asked tag. Unknowns treated as typos show as "another tag" in the first row. Chapter 01.
    """
    table = np.zeros((len(kinds), len(ACTS)), dtype=int)
    for answer in answers:
        if answer.kind in kinds:
            table[list(kinds).index(answer.kind), ACTS.index(_act(answer))] += 1
    return table


def drift(answers: Sequence[Graded], kind: str = "reverse") -> Share:
    """How often a scenario was answered with a name in the public style."""
    return share(answer.outcome == "verbose" for answer in answers if answer.kind == kind)


def counts_that_round_to(percentage: str, size: int) -> list[int]:
    """The counts k with 100 k / size printed as `percentage`, at its own number of decimals.

    A half may be rounded to even or up: both are allowed. Raises BookError for a text that is no number.
    """
    try:
        wanted = Decimal(percentage)
    except ArithmeticError:
        raise BookError(f"percentage {percentage!r} is no number: write it as printed, such as '67.8'") from None
    unit = Decimal(1).scaleb(wanted.as_tuple().exponent)
    first, last = (int(bound * size / 100) for bound in (wanted - unit, wanted + unit))
    return [
        count
        for count in range(max(first, 0), min(last + 1, size) + 1)
        if any(
            (Decimal(100 * count) / size).quantize(unit, rounding=mode) == wanted
            for mode in (ROUND_HALF_UP, ROUND_HALF_EVEN)
        )
    ]


def sizes_that_fit(overall: Sequence[str], scenario: Sequence[str], scenarios: int, up_to: int) -> list[int]:
    """Test sizes n, multiples of `scenarios`, at which every printed percentage is a count over n (or n / scenarios).

    overall: percentages over the whole test; scenario: percentages within one of its equal parts. Chapter 01, the
    post's table: its size is not stated.
    """
    return [
        size
        for size in range(scenarios, up_to + 1, scenarios)
        if all(counts_that_round_to(text, size) for text in overall)
        and all(counts_that_round_to(text, size // scenarios) for text in scenario)
    ]


def p_against_size(first: str, second: str, sizes: Sequence[int]) -> list[float]:
    """Fisher's exact two-sided p of two printed percentages, for each assumed number of questions per model.

    Unpaired, because the post gives no answers item by item; a paired test on the same questions could be sharper.
    Raises BookError for a size at which one of the percentages cannot be printed.
    """
    found = []
    for size in sizes:
        pair = [counts_that_round_to(text, size) for text in (first, second)]
        if not all(pair):
            raise BookError(f"{first} % and {second} % are not both counts over {size}: choose a size that fits")
        right = [counts[0] for counts in pair]
        found.append(fisher_exact([[count, size - count] for count in right])[1])
    return found


def _act(answer: Graded) -> str:
    if answer.outcome == "right":
        return "refused" if answer.kind == "unknown" else "asked tag"
    return _ACT.get(answer.outcome, "other")
