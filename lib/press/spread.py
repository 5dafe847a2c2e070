"""How far a chapter's recorded values move between machines, and the tolerances that follow.

The chapter is run at teach under each of ENVIRONMENTS, which round otherwise than the machine that built it. A key's
tolerance is its largest relative distance from what is on record times FACTOR, never less than FLOOR. A key that moves
by CEILING or more is *free*: elsewhere a tolerance would check nothing, so it is compared only where the arithmetic is
that of the record (`lib.press.arithmetic`), and there digit for digit.
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
from lib.press import arithmetic, results
from lib.press.files import write_whole
from lib.press.paths import Book, Chapter

FACTOR, FLOOR, CEILING = 4.0, 1e-6, 0.5
FREE = "free"
# Two machines unlike most: other instruction sets in torch and in both BLAS libraries, another number of threads.
ENVIRONMENTS = [
    {"ATEN_CPU_CAPABILITY": aten, "OPENBLAS_CORETYPE": blas, "MKL_CBWR": mkl}
    | dict.fromkeys(arithmetic.ONE_THREAD, threads)
    for aten, blas, mkl, threads in (("default", "Prescott", "COMPATIBLE", "1"), ("avx2", "Haswell", "AVX2", "2"))
]


def tolerances(book: Book) -> dict[str, dict[str, float | str]]:
    """Chapter number -> key -> relative tolerance, or FREE, as measured; keys that are not listed have FLOOR."""
    path = _file(book)
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.exists() else {}


def measure(chapter: Chapter) -> list[str]:
    """Run the chapter under every environment, write its tolerances, return one line for each that is above FLOOR.

    Raises BookError for a chapter that was never built, or built with arithmetic that is not this machine's.
    """
    record = results.load(chapter.results("teach"))
    if record is None or record.get("arithmetic") != arithmetic.fingerprint():
        raise BookError(f"chapter {chapter.number} was not built here; run: python -m lib.press build {chapter.number}")
    runs = [record]
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
    return [f"{key}: {limit}" for key, limit in measured.items()] or [f"every value moves by less than {FLOOR}"]


def limits(runs: list[dict[str, Any]]) -> dict[str, float | str]:
    """The tolerance of every key that moves by more than FLOOR from the first run; FREE from CEILING on."""
    found: dict[str, float | str] = {}
    for part in ("values", "series"):
        for key in runs[0][part]:
            limit = FACTOR * max(_relative(runs[0][part][key], other[part].get(key)) for other in runs[1:])
            if limit > FLOOR:
                found[key] = FREE if limit >= CEILING else float(f"{limit:.2g}")
    return found


def _relative(old: Any, new: Any) -> float:
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        return max((_relative(old[key], new[key]) for key in old), default=0.0)
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return max((_relative(a, b) for a, b in zip(old, new, strict=True)), default=0.0)
    if all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (old, new)):
        return abs(old - new) / max(abs(old), abs(new)) if old != new else 0.0
    return 0.0 if old == new else float("inf")


def _file(book: Book) -> Path:
    return book.root / "data" / "results" / "tolerances.yml"
