"""Prepared files: what a chapter's `chapters/prepare/NN.py` makes from what ships, with checksums and provenance."""

from __future__ import annotations

import datetime
import hashlib
import importlib.util
import tempfile
import time
from pathlib import Path

from lib.errors import BookError
from lib.press import results, run
from lib.press.files import write_whole
from lib.press.paths import Book, Chapter

CHAPTER_BYTES, BOOK_BYTES = 4_000_000, 30_000_000
SUFFIXES = {".safetensors", ".npz", ".json", ".opus"}  # no pickle


def prepare(chapter: Chapter, profile: str = "teach") -> list[Path]:
    """Run the chapter's `prepare(folder, profile)` and put what it made under data/prepared; returns the files.

    Raises BookError when there is nothing to prepare, or when the files are of another kind or larger than allowed.
    """
    recipe = chapter.book.root / "chapters" / "prepare" / f"{chapter.number}.py"
    if not recipe.exists():
        raise BookError(f"chapter {chapter.number} has nothing to prepare; it computes all it shows")
    spec = importlib.util.spec_from_file_location(f"prepare_{chapter.number}", recipe)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    started = time.time()
    with tempfile.TemporaryDirectory() as folder:
        module.prepare(Path(folder), profile)
        made = sorted(path for path in Path(folder).iterdir() if path.is_file())
        _refuse(chapter, made)
        return _keep(chapter, made, time.time() - started)


def _refuse(chapter: Chapter, made: list[Path]) -> None:
    odd = [path.name for path in made if path.suffix not in SUFFIXES or not path.name.startswith(chapter.number)]
    if odd or not made:
        kinds = ", ".join(sorted(SUFFIXES))
        raise BookError(f"{odd[0] if odd else 'nothing'} was prepared; make files {chapter.number}* of kind {kinds}")
    size = sum(path.stat().st_size for path in made)
    others = sum(p.stat().st_size for p in _folder(chapter.book).glob("*") if not p.name.startswith(chapter.number))
    if size > CHAPTER_BYTES or size + others > BOOK_BYTES:
        raise BookError(f"prepared files of chapter {chapter.number} weigh {size:,} bytes; at most {CHAPTER_BYTES:,}")


def _keep(chapter: Chapter, made: list[Path], seconds: float) -> list[Path]:
    folder = _folder(chapter.book)
    kept = []
    for path in made:
        write_whole(folder / path.name, path.read_bytes())
        kept.append(folder / path.name)
    document = {
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in kept},
        "command": f"make prepare N={chapter.number}",
        "machine": run.machine(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": run.commit(chapter.book.root),
        "minutes": round(seconds / 60, 1),
    }
    results.save(folder / f"{chapter.number}.provenance.json", document)
    return kept


def _folder(book: Book) -> Path:
    return book.root / "data" / "prepared"
