"""The two digests: what computes a result, and what makes a page.

The result digest covers the computing cells, the parameters, every module of `lib` that they reach (the press aside),
the datasets and files that the chapter declares, and the pinned versions of the packages that are imported. Comments,
docstrings and layout of the code do not count. The page digest covers the result digest, the parts of the press that
shape a page, the claims, the results on record and the text.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from pathlib import Path

import yaml

from lib.errors import BookError
from lib.press import closure, source
from lib.press.paths import Chapter

# What shapes a page, besides the parts of the press that the chapter's own cells reach.
PAGE_MODULES = ["lib.press.build", "lib.press.figures", "lib.press.ledger", "lib.press.run"]
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;#+]+)")


def sha(data: bytes | str) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of some bytes or text."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()[:16]


def combine(parts: dict[str, str]) -> str:
    """One digest out of named parts."""
    return sha(json.dumps(parts, sort_keys=True))


def result_parts(chapter: Chapter, profile: str = "teach") -> dict[str, str]:
    """Every part of the result digest by name, so that a difference can be named."""
    root, notebook = chapter.book.root, source.read(chapter)
    cells = [cell.source for cell in source.code_cells(notebook) if not source.tags(cell) & source.DRAWS]
    reached = closure.reach(root, cells)
    parts = {"cells that compute": sha("\n".join(normalise(cell) for cell in cells))}
    parameters = chapter.parameters(profile)
    if parameters:
        given = {"profile": profile} | (yaml.safe_load(parameters.read_text(encoding="utf-8")) or {})
        parts[parameters.relative_to(root).as_posix()] = sha(json.dumps(given, sort_keys=True))
    parts |= {file: sha(normalise((root / file).read_text(encoding="utf-8"))) for file in reached.files}
    declared = source.uses(chapter)
    parts |= {f"dataset {name}": _dataset_sum(root, name) for name in declared.datasets}
    parts |= {file: _file_sum(chapter, file) for file in declared.files}
    pins = locked(root)
    parts |= {f"package {name}": pins[name] for name in reached.packages if name in pins}
    return dict(sorted(parts.items()))


def result_digest(chapter: Chapter, profile: str = "teach") -> str:
    """The digest that results carry."""
    return combine(result_parts(chapter, profile))


def page_parts(chapter: Chapter) -> dict[str, str]:
    """Every part of the page digest by name."""
    root = chapter.book.root
    press = closure.reach_modules(root, PAGE_MODULES).files
    parts = {"result digest": result_digest(chapter), "text": sha(chapter.source.read_bytes())}
    parts |= {file: sha(normalise((root / file).read_text(encoding="utf-8"))) for file in sorted(press)}
    on_record = [chapter.claims, chapter.exercises, chapter.results("teach"), chapter.results("full")]
    on_record += chapter.tables()
    parts |= {path.relative_to(root).as_posix(): sha(path.read_bytes()) for path in on_record if path.exists()}
    return parts


def page_digest(chapter: Chapter) -> str:
    """The digest that an executed notebook carries."""
    return combine(page_parts(chapter))


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The names whose part was changed, added or removed."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def normalise(code: str) -> str:
    """Python code without comments, docstrings, layout and lazy export tables."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "exports":
            node.args = node.args[:1]
    return ast.unparse(tree)


def locked(root: Path) -> dict[str, str]:
    """Pinned versions by distribution name, from every requirements file of the repository."""
    lines = [line for path in sorted(root.glob("requirements*.txt")) for line in path.read_text().splitlines()]
    return {m[1].lower().replace("_", "-"): m[2] for m in map(_PIN.match, lines) if m}


def _dataset_sum(root: Path, name: str) -> str:
    rows = yaml.safe_load((root / "data" / "registry.yml").read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in (rows["datasets"] if isinstance(rows, dict) else rows)}
    if name not in rows:
        raise BookError(f"dataset {name!r} is declared by a chapter but is not in data/registry.yml")
    return sha(json.dumps(rows[name].get("sha256") or rows[name].get("files") or rows[name], sort_keys=True))


def _file_sum(chapter: Chapter, file: str) -> str:
    path = chapter.book.root / file
    if not path.is_file():
        raise BookError(f"{chapter.source.name} declares {file}, which is not there; restore it or `make prepare`")
    return sha(path.read_bytes())
