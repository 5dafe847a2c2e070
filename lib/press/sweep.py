"""A sweep: a grid of runs of one chapter, on one machine or over a cluster, none of them run twice.

A sweep file, `chapters/sweeps/NN_name.yml`, names the chapter, the grid and the recorded values to keep:

    profile: teach                           # smoke, teach or full; its parameters are the base of every run
    grid: {rate: [1e-4, 3e-4], width: [64, 128]}
    seeds: [0, 1, 2]
    keep: [loss.validation, recall]          # recorded keys that the table holds
    resources: {GPU: 1}                      # what a worker must offer; leave it out for none

Every cell of the grid is one papermill run in a process of its own. What it recorded is kept under runs/sweeps by the
result digest and the parameters, so that a finished cell is never run again, an interrupted sweep goes on where it
was, and a failed cell is listed without stopping the rest. When all cells are there, the table goes on record as
`data/results/NN.sweep_name.json`. Dask carries the work: a local cluster by default, any scheduler by its address.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lib.errors import BookError
from lib.press import digest, results, run
from lib.press.files import write_whole
from lib.press.paths import PROFILES, Book, Chapter

log = logging.getLogger(__name__)
FIELDS = {"profile", "grid", "seeds", "keep", "resources"}
TAIL = 4000  # characters of a failed run's output that are kept


@dataclass(frozen=True)
class Sweep:
    """A sweep file, read and checked."""

    chapter: Chapter
    name: str
    profile: str
    cells: list[dict[str, Any]]
    keep: list[str]
    resources: dict[str, float]

    @property
    def table(self) -> Path:
        """Where the finished table goes on record."""
        return self.chapter.table(self.name)

    def folder(self) -> Path:
        """Where finished and failed cells are kept."""
        return self.chapter.book.runs / "sweeps" / f"{self.chapter.number}_{self.name}"

    def kept(self, cell: dict[str, Any], parts_digest: str) -> Path:
        """The file of one cell, named by everything that its numbers depend on."""
        return self.folder() / f"{digest.sha(parts_digest + json.dumps(cell, sort_keys=True))}.json"


def read(book: Book, path: Path) -> Sweep:
    """A sweep file; raises BookError, one line, for a file that names no sweep or a parameter that is not declared."""
    number, _, name = path.stem.partition("_")
    if not path.is_file() or path.suffix != ".yml" or not name:
        raise BookError(f"{path} is no sweep; name a file like chapters/sweeps/08_gates.yml")
    given = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    unknown = sorted(set(given) - FIELDS)
    if unknown:
        raise BookError(f"{path.name}: {unknown[0]!r} is not one of {', '.join(sorted(FIELDS))}")
    profile, grid, keep = given.get("profile", "teach"), given.get("grid") or {}, given.get("keep")
    if profile not in PROFILES:
        raise BookError(f"{path.name}: profile {profile!r} is not one of {', '.join(PROFILES)}")
    if not keep:
        raise BookError(f"{path.name} keeps no value; list recorded keys under keep:")
    if any(not isinstance(values, list) or not values for values in grid.values()):
        raise BookError(f"{path.name}: every parameter of the grid needs a list of values")
    axes = grid | {"seed": given.get("seeds") or [0]}
    cells = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    chapter = book.chapter(number)
    for cell in cells:
        run.values_for(chapter, profile, cell)
    return Sweep(chapter, name, profile, cells, list(keep), given.get("resources") or {})


def carry_out(sweep: Sweep, scheduler: str | None = None, workers: int = 1) -> list[str]:
    """Run what is missing and put the table on record; returns one line for each cell that failed."""
    parts = digest.combine(digest.result_parts(sweep.chapter, sweep.profile))
    waiting = [cell for cell in sweep.cells if not sweep.kept(cell, parts).exists()]
    log.info("%d of %d cells are there", len(sweep.cells) - len(waiting), len(sweep.cells))
    failures = _compute(sweep, parts, waiting, scheduler, workers) if waiting else []
    if not failures:
        results.save(sweep.table, _table(sweep, parts))
    return failures


def _compute(sweep: Sweep, parts: str, cells: list[dict[str, Any]], scheduler: str | None, workers: int) -> list[str]:
    from distributed import Client, LocalCluster, as_completed

    failures = []
    cluster = scheduler or LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=False,
        dashboard_address=None,
        resources=sweep.resources or None,
    )
    with Client(cluster) as client:
        futures = {
            client.submit(
                run_cell, sweep.chapter.number, sweep.profile, cell, pure=False, resources=sweep.resources or None
            ): cell
            for cell in cells
        }
        for future in as_completed(futures):
            cell = futures[future]
            error = future.exception()
            document, output = (None, repr(error)) if error else future.result()
            kept = sweep.kept(cell, parts)
            if document is None:
                write_whole(kept.with_suffix(".failed.txt"), output)
                failures.append(f"{cell}: {output.strip().splitlines()[-1] if output.strip() else 'no output'}")
            else:
                results.save(kept, document)
                kept.with_suffix(".failed.txt").unlink(missing_ok=True)
            log.info("%s %s", "failed" if document is None else "done", cell)
    if scheduler is None:
        cluster.close()
    return failures


def run_cell(number: str, profile: str, cell: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """One run of a chapter in a fresh process: its results document, or None and the end of what it printed.

    It needs the repository where it runs, and nothing from where the sweep was started.
    """
    settings = [f"--set={name}={json.dumps(value)}" for name, value in cell.items()]
    command = [sys.executable, "-m", "lib.press", "run", number, "--profile", profile, *settings]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, env=os.environ | {"BOOK_RUNS": folder}, capture_output=True, text=True)
        document = results.load(Path(folder) / f"{number}.{profile}.json") if done.returncode == 0 else None
    return document, (done.stdout + done.stderr)[-TAIL:]


def _table(sweep: Sweep, parts: str) -> dict[str, Any]:
    rows = []
    for cell in sweep.cells:
        values = results.load(sweep.kept(cell, parts))["values"]
        rows.append({"parameters": cell, "values": {key: results.look_up(values, key) for key in sweep.keep}})
    return {
        "chapter": sweep.chapter.number,
        "sweep": sweep.name,
        "profile": sweep.profile,
        "digest": parts,
        "machine": run.machine(),
        "commit": run.commit(sweep.chapter.book.root),
        "rows": rows,
    }
