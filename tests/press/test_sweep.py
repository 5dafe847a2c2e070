"""Sweeps: a grid is run once, goes on where it was, and keeps going when a cell fails."""

from __future__ import annotations

import json

import pytest

from lib.errors import BookError
from lib.press import current, digest, ledger, sweep
from lib.press.__main__ import main
from tests.press.conftest import edit

GRID = "profile: smoke\ngrid: {count: [20, 40], shape: [[0.0, 1.0]]}\nseeds: [0, 1]\nkeep: [mean, twice]\n"


@pytest.fixture
def grid(tiny):
    path = tiny.book.root / "chapters" / "sweeps" / "01_size.yml"
    path.parent.mkdir()
    path.write_text(GRID)
    return path


@pytest.fixture
def in_process(monkeypatch):
    """Cells without Jupyter and without Dask, which have a test of their own; returns what was run."""
    ran = []

    def compute(asked, parts, cells, scheduler, workers):
        from lib.press import results

        failures = []
        for cell in cells:
            ran.append(cell)
            if cell["count"] == 13:
                failures.append(f"{cell}: unlucky")
                continue
            values = {"mean": {"value": cell["count"] / 10 + cell["seed"]}, "twice": {"value": 42}}
            results.save(asked.kept(cell, parts), {"values": values})
        return failures

    monkeypatch.setattr(sweep, "_compute", compute)
    return ran


def test_every_cell_runs_once(tiny, grid, in_process):
    asked = sweep.read(tiny.book, grid)
    assert len(asked.cells) == 4
    assert sweep.carry_out(asked) == []
    assert sweep.carry_out(asked) == []
    assert len(in_process) == 4
    rows = json.loads(asked.table.read_text())["rows"]
    assert rows[1] == {
        "parameters": {"count": 20, "shape": [0.0, 1.0], "seed": 1},
        "values": {"mean": 3.0, "twice": 42},
    }


def test_a_wider_grid_runs_what_is_new_and_changed_code_runs_all(tiny, grid, in_process):
    sweep.carry_out(sweep.read(tiny.book, grid))
    edit(grid, "[20, 40]", "[20, 40, 60]")
    sweep.carry_out(sweep.read(tiny.book, grid))
    assert [cell["count"] for cell in in_process[4:]] == [60, 60]
    edit(tiny.book.root / "lib" / "analysis" / "tiny.py", "FACTOR = 2", "FACTOR = 2.0")
    sweep.carry_out(sweep.read(tiny.book, grid))
    assert len(in_process) == 12


def test_a_failed_cell_is_named_and_nothing_goes_on_record(tiny, grid, in_process):
    edit(grid, "[20, 40]", "[13, 40]")
    asked = sweep.read(tiny.book, grid)
    failures = sweep.carry_out(asked)
    assert len(failures) == 2
    assert "'count': 13" in failures[0]
    assert not asked.table.exists()
    sweep.carry_out(asked)
    assert [cell["count"] for cell in in_process] == [13, 13, 40, 40, 13, 13]


def test_the_table_moves_the_page_and_not_the_result(tiny, grid, in_process):
    page, result = digest.page_digest(tiny), digest.result_digest(tiny)
    current.begin(current.Run(tiny, "teach", {}))
    assert ledger.sweep("size") is None
    sweep.carry_out(sweep.read(tiny.book, grid))
    assert len(ledger.sweep("size")["rows"]) == 4
    assert digest.page_digest(tiny) != page
    assert digest.result_digest(tiny) == result


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("count: [20, 40]", "cuont: [20, 40]", "cuont"),
        ("count: [20, 40]", "count: [20, many]", "many"),
        ("count: [20, 40]", "count: 20", "list of values"),
        ("profile: smoke", "profile: huge", "huge"),
        ("keep: [mean, twice]", "", "keeps no value"),
        ("seeds", "sedes", "sedes"),
    ],
)
def test_bad_input_is_one_line(tiny, grid, capsys, old, new, told):
    edit(grid, old, new)
    assert main(["sweep", str(grid)]) == 2
    error = capsys.readouterr().err.strip()
    assert told in error
    assert "\n" not in error


def test_a_file_that_is_no_sweep(tiny):
    with pytest.raises(BookError, match="is no sweep"):
        sweep.read(tiny.book, tiny.book.root / "absent.yml")


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Dask's own
def test_dask_carries_it(tiny, grid):
    edit(grid, "[20, 40]", "[20, 0]")  # the mean of nothing is not finite: the run refuses to record it
    edit(grid, "seeds: [0, 1]", "seeds: [0]")
    asked = sweep.read(tiny.book, grid)
    failures = sweep.carry_out(asked, workers=2)
    assert len(failures) == 1
    assert "'count': 0" in failures[0]
    assert len(list(asked.folder().glob("*.json"))) == 1
    assert "finite" in next(asked.folder().glob("*.failed.txt")).read_text()
    edit(grid, "[20, 0]", "[20]")
    assert sweep.carry_out(sweep.read(tiny.book, grid)) == []
