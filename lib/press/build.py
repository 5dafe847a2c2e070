"""One chapter brought up to date: execute the source, keep the results, tie the prose, write the notebook."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from lib.errors import BookError
from lib.press import arithmetic, digest, prose, results, source
from lib.press.canonical import canonical
from lib.press.files import write_whole
from lib.press.paths import Book, Chapter

log = logging.getLogger(__name__)
TIMEOUT = 1200  # seconds for one cell: far above the budget of a whole chapter, so that a hang ends


def why_stale(chapter: Chapter) -> list[str]:
    """What makes the chapter's notebook old, by name; empty when it is today's."""
    on_record = results.load(chapter.results("teach"))
    if not chapter.notebook.exists() or on_record is None:
        return ["it was never built"]
    changes = digest.changed(on_record["digest_parts"], digest.result_parts(chapter))
    if changes:
        return changes
    today = digest.page_digest(chapter)
    return (
        [] if today == book_metadata(chapter).get("page_digest") else ["its text, its claims, its results or the press"]
    )


def book_metadata(chapter: Chapter) -> dict[str, str]:
    """The digests that the chapter's notebook carries."""
    return (results.load(chapter.notebook) or {}).get("metadata", {}).get("book", {})


def build(chapter: Chapter) -> None:
    """Execute at teach and write source, results and notebook, each whole; a failing cell leaves all as it was."""
    notebook = source.read(chapter)
    with tempfile.TemporaryDirectory() as runs:
        _execute(chapter, notebook, Path(runs))
        on_record = results.load(Path(runs) / f"{chapter.number}.teach.json")
    if on_record is None:
        raise BookError(f"{chapter.source.name} does not end with run.finish(); add it as the last cell")
    results.save(chapter.results("teach"), on_record | {"arithmetic": arithmetic.fingerprint()})
    text = chapter.source.read_text(encoding="utf-8")
    written = prose.rewrite(text, chapter)
    if written != text:
        write_whole(chapter.source, written)
    executed = iter(source.code_cells(notebook))
    fresh = source.read(chapter)
    for cell in source.code_cells(fresh):
        cell.outputs = next(executed).outputs
    digests = {"page_digest": digest.page_digest(chapter), "result_digest": on_record["digest"]}
    write_whole(chapter.notebook, canonical(fresh, digests))


def build_stale(book: Book) -> list[Chapter]:
    """Build every chapter that is not today's; returns those that were."""
    built = []
    for chapter in book.chapters():
        reasons = why_stale(chapter)
        if reasons:
            log.info("chapter %s: building, because of %s", chapter.number, ", ".join(reasons))
            build(chapter)
            built.append(chapter)
    return built


def _execute(chapter: Chapter, notebook: Any, runs: Path) -> None:
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    environment = os.environ | arithmetic.ONE_THREAD | {"BOOK_RUNS": str(runs), "BOOK_ROOT": str(chapter.book.root)}
    folder = {"metadata": {"path": str(chapter.book.root / "chapters")}}
    client = NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3", resources=folder, record_timing=False)
    try:
        client.execute(env=environment)
    except CellExecutionError as error:
        raise BookError(f"chapter {chapter.number} stops: {str(error).strip()}") from None
