"""A chapter is built, run in every way, and refuses what it should."""

import json
import subprocess
import sys

import pytest

from lib.errors import BookError
from lib.press import build, guards, prose, results, run
from tests.press.conftest import edit

pytestmark = pytest.mark.slow


_made: dict[str, bytes] = {}  # the files of the one build that the tests of this module share


@pytest.fixture
def built(tiny):
    if not _made:
        build.build(tiny)
        files = tiny.source, tiny.notebook, tiny.results("teach")
        _made.update({str(path.relative_to(tiny.book.root)): path.read_bytes() for path in files})
    for name, content in _made.items():
        (tiny.book.root / name).parent.mkdir(parents=True, exist_ok=True)
        (tiny.book.root / name).write_bytes(content)
    return tiny


def test_a_built_chapter_passes_every_guard_and_is_the_same_twice(built):
    assert guards.check_book(built.book) == []
    assert build.why_stale(built) == []
    files = [built.source, built.notebook, built.results("teach")]
    first = [path.read_bytes() for path in files]
    build.build(built)
    assert [path.read_bytes() for path in files] == first
    assert "The mean is 0.13<!--= mean :.2f -->" in built.source.read_text()


def test_a_change_names_what_made_it_stale(built):
    edit(built.book.root / "lib/analysis/tiny.py", "FACTOR = 2", "FACTOR = 3")
    assert build.why_stale(built) == ["lib/analysis/tiny.py"]
    assert any("stale" in line and "tiny.py" in line for line in guards.check_book(built.book))


def test_a_failing_cell_leaves_everything_as_it_was(built):
    before = built.notebook.read_bytes(), built.results("teach").read_bytes()
    edit(built.source, "tiny.twice(21)", "tiny.thrice(21)")
    with pytest.raises(BookError, match="thrice"):
        build.build(built)
    assert (built.notebook.read_bytes(), built.results("teach").read_bytes()) == before


def _spoil_notebook(chapter, spoil):
    notebook = json.loads(chapter.notebook.read_text())
    spoil(notebook["cells"])
    chapter.notebook.write_text(json.dumps(notebook))


def _figure(cells):
    return next(c for c in cells if any("image/png" in o.get("data", {}) for o in c.get("outputs", [])))


def _garble(cells):
    _figure(cells)["outputs"][0]["data"]["text/plain"] = "<Figure size 700x400>"


def _drop_alt(cells):
    del _figure(cells)["metadata"]["mystnb"]


def _type_verdict(cells):
    table = next(c for c in cells if "".join(c["source"]) == "ledger.table()")
    text = "".join(table["outputs"][0]["data"]["text/plain"])
    table["outputs"][0]["data"]["text/plain"] = text.replace("waits for a full run", "holds               ")


def _not_run(cells):
    cells[1]["execution_count"] = None


def _other_text(cells):
    cells[0]["source"] = ["# Another chapter"]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (_garble, "does not begin with"),
        (_drop_alt, "no alt text"),
        (_type_verdict, "not what is computed"),
        (_not_run, "was not executed"),
        (_other_text, "is not what 01_tiny.md says"),
    ],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_a_spoiled_notebook_fails_a_guard(built, spoil, named):
    _spoil_notebook(built, spoil)
    assert any(named in line for line in guards.check_book(built.book))


def test_numbers_in_prose(built):
    edit(built.source, "The mean is 0.13", "The mean is 0.14")
    text = built.source.read_text()
    assert prose.stale(text, built) == ["0.14 should read 0.13 (mean)"]
    assert any("0.14 should read 0.13" in line for line in guards.numbers(built))
    assert "0.13<!--= mean" in prose.rewrite(text, built)
    edit(built.source, "# A tiny chapter", "# A tiny chapter\n\nIt is 3.25 of them.")
    assert any("3.25" in line for line in guards.numbers(built))
    with pytest.raises(BookError, match="no value is recorded under 'meen'"):
        prose.rewrite("0.1<!--= meen -->", built)
    with pytest.raises(BookError, match="no value is recorded under 'a mean'"):
        prose.rewrite("0.1<!--= a mean[32 at 0.1] :.2f -->", built)


def test_profiles_and_both_ways_to_run(tiny):
    kernel = run.execute(tiny, "smoke")
    by_kernel = results.load(kernel)
    assert by_kernel["parameters"]["count"] == 5
    command = [sys.executable, "-m", "lib.press", "run", "01", "--profile", "smoke", "--script"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tiny.book.root, check=False)
    assert done.returncode == 0, done.stderr
    assert results.load(kernel) == by_kernel


def test_a_full_run_goes_on_record_with_its_provenance(tiny):
    path = run.execute(tiny, "full")
    assert path == tiny.results("full")
    assert {"machine", "date", "commit", "minutes", "versions"} <= set(results.load(path)["provenance"])
    edit(tiny.book.root / "lib/analysis/tiny.py", "FACTOR = 2", "FACTOR = 3")
    from lib.press import full_runs

    assert "since then changed: lib/analysis/tiny.py" in full_runs.describe(tiny)


def test_plain_papermill_with_a_wrong_parameter_ends_with_one_line(built):
    papermill = [
        sys.executable,
        "-m",
        "papermill",
        str(built.notebook),
        str(built.book.root / "out.ipynb"),
        "--no-progress-bar",
    ]
    for given, line in [
        (["-p", "sed", "1"], "BookError: chapter 01 has no parameter 'sed'; did you mean 'seed'?"),
        (
            ["-p", "count", "many"],
            "BookError: parameter 'count' of chapter 01 is 'many', a str; give a value of type int",
        ),
    ]:
        done = subprocess.run(papermill + given, capture_output=True, text=True, cwd=built.book.root, check=False)
        assert done.returncode != 0
        assert done.stderr.strip().splitlines()[-1] == line
