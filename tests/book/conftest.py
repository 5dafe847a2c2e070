"""The site and the browser, once per session: a copy of the book is built, so no test touches `_build/`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.press import site
from lib.press.paths import Book
from tests.book.browser import Browser, find

_LEFT_OUT = shutil.ignore_patterns(".*", "_build", "runs", "__pycache__", "*.egg-info")


@pytest.fixture(scope="session")
def book_copy(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """The book, copied into a folder whose name has a space."""
    root = tmp_path_factory.mktemp("site") / "the book"
    shutil.copytree(Book.current().root, root, ignore=_LEFT_OUT)
    return Book(root)


@pytest.fixture(scope="session")
def built(book_copy: Book) -> Path:
    """The folder of the built site; a warning of the build fails every test that asks for it."""
    return site.build(book_copy).parent


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; tests that need one skip where there is none."""
    executable = find()
    if executable is None:
        pytest.skip("no Chromium on this machine; install `chromium` from the system's packages")
    with Browser(executable) as opened:
        yield opened
