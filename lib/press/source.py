"""A MyST source becomes a notebook with stable cell ids, and its front matter says what the chapter reads."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import yaml

from lib.errors import BookError
from lib.press.paths import Chapter

if TYPE_CHECKING:
    from nbformat import NotebookNode

_FRONT = re.compile(r"\A---\n(.*?\n)---\n", flags=re.DOTALL)
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
DRAWS = {"figure", "page"}  # cells with these tags draw or show what is on record; they compute nothing new


@dataclass(frozen=True)
class Uses:
    """What a chapter declares that it reads: rows of the registry and files of the repository."""

    datasets: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)


def uses(chapter: Chapter) -> Uses:
    """The `book:` mapping of the front matter; an unknown entry is refused by name."""
    match = _FRONT.match(chapter.source.read_text(encoding="utf-8"))
    declared = (yaml.safe_load(match[1]) or {}).get("book") or {} if match else {}
    unknown = sorted(set(declared) - {"datasets", "files"})
    if unknown:
        raise BookError(f"{chapter.source.name}: book: has no entry {unknown[0]!r}; it takes datasets and files")
    return Uses(**{name: list(entry or []) for name, entry in declared.items()})


def read(chapter: Chapter) -> NotebookNode:
    """The chapter's source as a notebook without outputs; cell ids are made from their text."""
    return read_text(chapter.source.read_text(encoding="utf-8"))


def read_text(text: str) -> NotebookNode:
    """A MyST notebook's text as a notebook (nbformat 4.5)."""
    import jupytext

    notebook = jupytext.reads(text, fmt="md:myst")
    notebook.metadata = type(notebook.metadata)(kernelspec=dict(KERNEL), language_info={"name": "python"})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        tags = sorted(cell.metadata.get("tags", []))
        cell.metadata = type(cell.metadata)({"tags": tags} if tags else {})
    return notebook


def tags(cell: NotebookNode) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", []))


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The code cells, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def parameters_cell(notebook: NotebookNode) -> NotebookNode:
    """The one cell tagged `parameters`; raises BookError when there is none or more than one."""
    found = [cell for cell in code_cells(notebook) if "parameters" in tags(cell)]
    if len(found) != 1:
        raise BookError(f"a chapter has exactly one cell tagged parameters; this one has {len(found)}")
    return found[0]
