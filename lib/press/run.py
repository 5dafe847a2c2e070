"""A chapter's run: its guard line, its last line, and the two ways to carry it out."""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from lib.errors import BookError
from lib.press import current, digest, parameters, results, source
from lib.press.paths import Book, Chapter


def check_parameters(number: str, namespace: dict[str, Any] | None = None) -> None:
    """The guard below the parameters: begins the run of chapter `number`.

    Raises BookError, one line, for an injected name that the chapter does not declare or a value of the wrong type.
    `namespace` holds the parameters; by default it is the caller's.
    """
    names = sys._getframe(1).f_globals if namespace is None else namespace
    declared = dict(names.get("__annotations__", {}))
    given = {name: names[name] for name in set(declared) | parameters.injected(list(names.get("In", [])))}
    parameters.check(number, declared, given)
    chapter = Book.current().chapter(number)
    profile, values = given["profile"], {name: given[name] for name in declared}
    parts = digest.result_parts(chapter, profile)
    current.begin(current.Run(chapter, profile, values, parts, commit(chapter.book.root)))


def finish() -> None:
    """The last cell: write what was recorded to `<runs>/NN.<profile>.json`, whole or not at all.

    Raises BookError when nothing was recorded or when a dataset or file was read that the chapter does not declare.
    """
    run = current.get()
    if not run.values:
        raise BookError(f"chapter {run.chapter.number} recorded nothing; a chapter that measures nothing is no chapter")
    _refuse_undeclared(run.chapter)
    document = {
        "chapter": run.chapter.number,
        "profile": run.profile,
        "parameters": results.plain(run.parameters, "parameters"),
        "digest": digest.combine(run.digest_parts),
        "digest_parts": run.digest_parts,
        "values": run.values,
        "series": run.series,
    }
    if run.profile == "full":
        document["provenance"] = provenance(run)
    results.save(run.chapter.book.runs / f"{run.chapter.number}.{run.profile}.json", document)
    print(f"recorded: {len(run.values)} values, {len(run.series)} figures")


def _refuse_undeclared(chapter: Chapter) -> None:
    registry = sys.modules.get("lib.datasets.registry")  # only when the chapter reads data; press imports no datasets
    declared = source.uses(chapter)
    allowed = {*declared.datasets, *declared.files}
    extra = sorted(registry.used() - allowed) if registry else []
    if extra:
        raise BookError(
            f"chapter {chapter.number} reads {extra[0]!r} but does not declare it under book: in its source"
        )


def provenance(run: current.Run) -> dict[str, Any]:
    """Machine, date, commit at the start, wall time and installed versions of a run."""
    from importlib import metadata

    names = [part.removeprefix("package ") for part in run.digest_parts if part.startswith("package ")]
    versions = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "machine": machine(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": run.commit,
        "minutes": round((time.time() - run.started) / 60, 1),
        "python": platform.python_version(),
        "versions": versions,
    }


def machine() -> str:
    """The processor or GPU in words: what a reader needs to place a wall time."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    with contextlib.suppress(OSError, StopIteration, IndexError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line for line in lines if line.startswith("model name")).split(":", 1)[1].strip()
        return f"{model}, {os.cpu_count()} cores"
    return f"{platform.machine()}, {os.cpu_count()} cores"


def commit(root: Path) -> str:
    """The short commit of the working tree, with `+` when it holds changes; `unknown` outside a repository."""
    git = ["git", "-C", str(root)]
    try:
        head = subprocess.run([*git, "rev-parse", "--short=10", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def values_for(chapter: Chapter, profile: str, overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    """The checked parameters of a run that differ from the cell's defaults; raises BookError as the guard does."""
    file = chapter.parameters(profile)
    if file is not None and not file.exists():
        raise BookError(
            f"chapter {chapter.number} has no chapters/params/{file.name}; write the {profile} profile there"
        )
    given = dict(yaml.safe_load(file.read_text(encoding="utf-8")) or {}) if file else {}
    given = given | {"profile": profile} | (overrides or {})
    declared = parameters.declared(source.parameters_cell(source.read(chapter)).source)
    parameters.check(chapter.number, {name: kind for name, (kind, _) in declared.items()}, given)
    return given


def execute(chapter: Chapter, profile: str, overrides: dict[str, Any] | None = None, script: bool = False) -> Path:
    """Run a chapter at a profile; returns the results file. A full run with its own parameters goes on record."""
    given = values_for(chapter, profile, overrides)
    (_in_process if script else _in_kernel)(chapter, profile, given)
    written = chapter.book.runs / f"{chapter.number}.{profile}.json"
    if profile == "full" and not overrides:
        results.save(chapter.results("full"), results.load(written))
        return chapter.results("full")
    return written


def _in_kernel(chapter: Chapter, profile: str, given: dict[str, Any]) -> None:
    """Through papermill, as a reader would; the executed notebook is kept beside the results."""
    import nbformat
    import papermill

    runs = chapter.book.runs
    runs.mkdir(parents=True, exist_ok=True)
    prepared, output = runs / f".{chapter.number}.{profile}.source.ipynb", runs / f"{chapter.number}.{profile}.ipynb"
    nbformat.write(source.read(chapter), prepared)
    try:
        papermill.execute_notebook(
            str(prepared), str(output), given, progress_bar=False, cwd=str(chapter.book.root / "chapters")
        )
    except papermill.PapermillExecutionError as error:
        if error.ename == "BookError":
            raise BookError(error.evalue) from None
        raise
    finally:
        prepared.unlink(missing_ok=True)


def _in_process(chapter: Chapter, profile: str, given: dict[str, Any]) -> None:
    """The same cells in this process, for machines without Jupyter; progress goes to the log."""
    os.environ.setdefault("MPLBACKEND", "agg")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    log = logging.getLogger("lib.press.run")
    namespace: dict[str, Any] = {"__name__": "__chapter__"}
    cells = source.code_cells(source.read(chapter))
    for index, cell in enumerate(cells, 1):
        log.info("cell %d of %d", index, len(cells))
        exec(compile(cell.source, f"<chapter {chapter.number}, cell {index}>", "exec", dont_inherit=True), namespace)
        if "parameters" in source.tags(cell):
            namespace.update(given)
