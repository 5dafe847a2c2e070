"""How far a chapter's recorded values move between instruction sets and thread counts, and the tolerances that follow.

The chapter is run at teach under each of ENVIRONMENTS. A key's tolerance is its largest relative spread times FACTOR,
never less than FLOOR; one of CEILING or more checks nothing and is refused.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from lib.errors import BookError
from lib.press import results
from lib.press.files import write_whole
from lib.press.paths import Book, Chapter

FACTOR, FLOOR, CEILING = 4.0, 1e-6, 0.5
# Every instruction set and both thread counts, once each: torch, its thread pools and numpy's BLAS all change.
ENVIRONMENTS = [
    {"ATEN_CPU_CAPABILITY": aten, "OPENBLAS_CORETYPE": blas, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    for aten, blas, threads in (("default", "Prescott", "1"), ("avx2", "Haswell", "2"), ("avx512", "Haswell", "1"))
]


def tolerances(book: Book) -> dict[str, dict[str, float]]:
    """Chapter number -> key -> relative tolerance, as measured; keys that are not listed have FLOOR."""
    path = _file(book)
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.exists() else {}


def measure(chapter: Chapter) -> list[str]:
    """Run the chapter under every environment, write its tolerances, return one line for each that is above FLOOR."""
    runs = []
    for environment in ENVIRONMENTS:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "lib.press", "run", chapter.number, "--script"]
            subprocess.run(
                command, env=os.environ | environment | {"BOOK_RUNS": folder}, check=True, stdout=subprocess.DEVNULL
            )
            runs.append(results.load(Path(folder) / f"{chapter.number}.teach.json"))
    measured = limits(runs)
    everything = tolerances(chapter.book) | {chapter.number: measured}
    write_whole(_file(chapter.book), yaml.safe_dump(everything, sort_keys=True))
    return [f"{key}: {limit:.2g}" for key, limit in measured.items()] or [f"every value moves by less than {FLOOR}"]


def limits(runs: list[dict[str, Any]]) -> dict[str, float]:
    """The tolerance of every key that moves by more than FLOOR over the runs; raises BookError from CEILING on."""
    found = {}
    for part in ("values", "series"):
        for key in runs[0][part]:
            limit = FACTOR * max(_relative(runs[0][part][key], other[part][key]) for other in runs[1:])
            if limit >= CEILING:
                raise BookError(
                    f"{key} moves so much between machines that a tolerance would check nothing; record less of it"
                )
            if limit > FLOOR:
                found[key] = float(f"{limit:.2g}")
    return found


def _relative(old: Any, new: Any) -> float:
    if isinstance(old, dict):
        return max((_relative(old[key], new[key]) for key in old), default=0.0)
    if isinstance(old, list):
        return max((_relative(a, b) for a, b in zip(old, new, strict=True)), default=0.0)
    if isinstance(old, (int, float)) and not isinstance(old, bool):
        return abs(old - new) / max(abs(old), abs(new)) if old != new else 0.0
    return 0.0 if old == new else float("inf")


def _file(book: Book) -> Path:
    return book.root / "data" / "results" / "tolerances.yml"
