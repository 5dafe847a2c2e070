"""Exercises: a task, a hint, a solution folded away, and a check of the learner's own function."""

from __future__ import annotations

import html
import importlib.util
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from lib.errors import BookError
from lib.press.paths import Book

HARDEST = 3


class NotYet(AssertionError):
    """An answer that does not pass; its text says what is probably wrong."""


@dataclass(frozen=True)
class Exercise:
    """A task for the learner.

    title, task: what to write. difficulty: 1 to 3. minutes: how long it takes. hint: folded away. stub: what the
    learner starts from. solution: a function that passes. test: raises NotYet for an answer that does not.
    """

    title: str
    task: str
    difficulty: int
    minutes: int
    hint: str
    stub: Callable
    solution: Callable
    test: Callable[[Callable], None]

    def check(self, answer: Callable) -> None:
        """Raise NotYet when the answer is not right; return nothing when it is."""
        try:
            self.test(answer)
        except NotYet:
            raise
        except Exception as error:
            raise NotYet(f"your function stopped with {type(error).__name__}: {error}") from error

    def feedback(self, answer: Callable) -> str:
        """One line: right, or what is probably wrong."""
        try:
            self.check(answer)
        except NotYet as problem:
            return f"Not yet: {problem}"
        return f"Right: {self.title}."

    def __repr__(self) -> str:
        return (
            f"Exercise: {self.title} (difficulty {self.difficulty} of {HARDEST}, {self.minutes} minutes). {self.task}"
        )

    def _repr_html_(self) -> str:
        stars = "★" * self.difficulty + "☆" * (HARDEST - self.difficulty)
        return (
            f"<p><strong>{html.escape(self.title)}</strong> {stars} {self.minutes} minutes<br>"
            f"{html.escape(self.task)}</p>"
            f"<details><summary>Hint</summary><p>{html.escape(self.hint)}</p></details>"
            f"<details><summary>Solution</summary><pre>{html.escape(inspect.getsource(self.solution))}</pre></details>"
        )


def load(number: str) -> ModuleType:
    """The module chapters/exercises/NN.py, by number because a module's name cannot begin with a digit.

    Raises BookError when the chapter has none.
    """
    path = Book.current().chapter(number).exercises
    if not path.exists():
        raise BookError(f"chapter {number} has no exercises; write them in chapters/exercises/{path.name}")
    spec = importlib.util.spec_from_file_location(f"exercises_{number}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
