"""Every chapter as it stands: the guards, the smoke profile through papermill, and teach against what is on record."""

import os
import subprocess
import sys

import pytest

from lib.press import arithmetic, exercises, guards, results, spread
from lib.press.paths import Book

BOOK = Book.current()
CHAPTERS = BOOK.chapters()
each = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda c: c.name)


def test_there_are_chapters_and_every_guard_is_content():
    assert CHAPTERS
    assert guards.check_book(BOOK) == []


@each
@pytest.mark.chapter
def test_smoke_runs_through_plain_papermill(chapter, tmp_path):
    command = [sys.executable, "-m", "papermill", str(chapter.notebook), str(tmp_path / "out.ipynb")]
    command += ["-f", str(chapter.parameters("smoke")), "--no-progress-bar", "--cwd", str(chapter.notebook.parent)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | arithmetic.ONE_THREAD | {"BOOK_RUNS": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    recorded = results.load(tmp_path / f"{chapter.number}.smoke.json")
    assert recorded["values"]
    assert recorded["series"]


@each
@pytest.mark.chapter
def test_teach_gives_what_is_on_record(chapter, tmp_path):
    """Where the arithmetic is that of the record: nbval compares every text, and values follow to the sixth digit.

    Elsewhere every cell must run, and values follow within the tolerances measured between unlike machines; where
    none were measured yet, the same keys must be there.
    """
    before = results.load(chapter.results("teach"))
    same = arithmetic.fingerprint() == before["arithmetic"]
    compare = "--nbval" if same else "--nbval-lax"
    command = [sys.executable, "-m", "pytest", "-q", compare, str(chapter.notebook), "-p", "no:cacheprovider"]
    command += ["-W", "ignore", "--override-ini", "addopts=", "--nbval-cell-timeout", "600"]
    command += ["--nbval-sanitize-with", str(BOOK.root / "tests" / "book" / "sanitize.cfg")]
    environment = os.environ | arithmetic.ONE_THREAD | {"BOOK_RUNS": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=BOOK.root, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
    after = results.load(tmp_path / f"{chapter.number}.teach.json")
    measured = {} if same else spread.tolerances(BOOK).get(chapter.number)
    default = spread.FREE if measured is None else spread.FLOOR
    assert results.differences(before, after, measured or {}, default) == []


@each
def test_exercises_tell_a_solution_from_a_stub(chapter):
    if not chapter.exercises.exists():
        pytest.skip("this chapter has no exercises")
    for exercise in exercises.load(chapter.number).exercises:
        exercise.check(exercise.solution)
        with pytest.raises(exercises.NotYet, match=r"\w+ \w+ \w+"):
            exercise.check(exercise.stub)
