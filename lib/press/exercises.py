"""A chapter's exercises, loaded by number (a module name cannot begin with a digit)."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from lib.errors import BookError
from lib.press.paths import Book


def load(number: str) -> ModuleType:
    """The module chapters/exercises/NN.py; raises BookError when the chapter has none."""
    path = Book.current().chapter(number).exercises
    if not path.exists():
        raise BookError(f"chapter {number} has no exercises; write them in chapters/exercises/{path.name}")
    spec = importlib.util.spec_from_file_location(f"exercises_{number}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
