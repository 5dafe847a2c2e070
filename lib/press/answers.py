"""What a learner's function returned, read by the check of an exercise."""

from __future__ import annotations

from lib.press.exercises import NotYet


def number(given: object, what: str) -> float:
    """The answer as one number; raises NotYet when it is none. what: "for seven tokens" and the like."""
    if given is None:
        raise NotYet(f"{what} your function returned None; return one number")
    try:
        return float(given)
    except (TypeError, ValueError):
        raise NotYet(f"{what} your function returned {given!r}; return one number") from None
