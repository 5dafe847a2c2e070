"""Rules that were written down before the numbers: is a gap one of training only, and which branch is taken after that.

H0: the difference between two models' scores goes to zero as autoencoders see more tokens. H1: one remains when it
has stopped moving. The gate of the post's author: nothing that is to explain the remainder is read before the first
question is answered. Chapter 06.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lib.errors import BookError


class Gap(Protocol):
    """A difference: its mean over seeds, and the 95 % interval of that, None for one seed."""

    mean: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Adjudication:
    """H0, H1 or open; the sentence says by which rule."""

    verdict: str
    reason: str


def adjudicate(gaps: dict[int, Gap], *, margin: float = 0.01, settled: float = 0.25) -> Adjudication:
    """Decide by the gap at the largest budget of tokens, and how far it moved from the one before.

    margin: a gap below it counts as none. settled: the last step moved it by at most this share of itself.
    Raises BookError for fewer than two budgets.
    """
    if len(gaps) < 2:
        raise BookError(f"{len(gaps)} budgets; give at least 2, or nothing is known of where the gap goes")
    before, last = (gaps[tokens] for tokens in sorted(gaps)[-2:])
    if last.interval is None:
        return Adjudication("open", "one seed at the largest budget")
    low, high = last.interval
    if -margin < low and high < margin:
        return Adjudication("H0", f"the interval at the largest budget lies within {margin:g} of zero")
    if low <= 0 <= high:
        return Adjudication("open", f"the interval at the largest budget holds zero and reaches beyond {margin:g}")
    if abs(last.mean - before.mean) > settled * abs(last.mean):
        return Adjudication("open", "the interval leaves zero out, but the last step still moved the gap")
    return Adjudication("H1", "the interval leaves zero out and the gap has stopped moving")


def branch(verdict: str) -> str:
    """What the post's decision tree says next. verdict: whether the sensitivity-weighted score wins, ties or loses."""
    if verdict not in ("wins", "ties", "loses"):
        raise BookError(f"verdict {verdict!r}; give wins, ties or loses")
    return "sensitivity" if verdict == "wins" else "variance or higher order"


def gate_of(found: list[Adjudication]) -> str:
    """shut when any is open; else H0 when none has a gap left; else H1: only then is there something to explain."""
    verdicts = {one.verdict for one in found}
    if not verdicts or "open" in verdicts:
        return "shut"
    return "H0" if verdicts == {"H0"} else "H1"


def read_out(gate: str, verdict: str) -> str:
    """What may be said of the cause of a gap, given the gate and how the sensitivity-weighted score did."""
    if gate == "H1":
        return branch(verdict)
    return "not read" if gate == "shut" else "no gap is left to explain"
