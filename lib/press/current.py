"""The run that this process carries out: which chapter, at which profile, with what recorded so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from lib.errors import BookError
from lib.press.paths import Chapter


@dataclass
class Run:
    """What a chapter has recorded since its guard line, and what the code, the data and the commit were then."""

    chapter: Chapter
    profile: str
    parameters: dict[str, Any]
    digest_parts: dict[str, str] = field(default_factory=dict)
    commit: str = "unknown"
    started: float = field(default_factory=time.time)
    values: dict[str, Any] = field(default_factory=dict)
    series: dict[str, Any] = field(default_factory=dict)


_run: Run | None = None


def begin(run: Run) -> None:
    """Make this the process's run; the former one is dropped."""
    global _run
    _run = run


def get() -> Run:
    """The run of this process; raises BookError when no guard line has been executed."""
    if _run is None:
        raise BookError('no chapter is running; execute run.check_parameters("NN") first, below the parameters')
    return _run
