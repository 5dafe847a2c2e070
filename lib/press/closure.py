"""Which modules of `lib` and which packages a piece of code reaches.

Imports are read, not run: nested ones count, and a lazy re-export (`exports(__name__, {...})` in an `__init__`)
counts for the names that are asked for. A package imported as an object, or a module that imports by a computed
name, counts with everything that it could reach; all but LAZY, whose computed names are those tables.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

# Import names that are not their distribution's name with underscores as hyphens.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-contrib-python",
    "fla": "flash-linear-attention",
    "mpl_toolkits": "matplotlib",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "websocket": "websocket-client",
    "yaml": "pyyaml",
}


LAZY = "lib/_lazy.py"


@dataclass
class Reached:
    """Module files (relative to the root) and distribution names."""

    files: set[str] = field(default_factory=set)
    packages: set[str] = field(default_factory=set)


def reach(root: Path, code: list[str], skip: tuple[str, ...] = ("lib.press",)) -> Reached:
    """All that the given pieces of code reach under `root/lib`, but for the modules under `skip`."""
    walk = _Walk(root, skip)
    for text in code:
        walk.read(ast.parse(text), package="")
    return walk.reached


def reach_modules(root: Path, modules: list[str]) -> Reached:
    """All that the named modules of `lib` reach, themselves included."""
    walk = _Walk(root, skip=())
    for name in modules:
        walk.module(name)
    return walk.reached


class _Walk:
    def __init__(self, root: Path, skip: tuple[str, ...]):
        self.root, self.skip, self.reached = root, skip, Reached()

    def file(self, name: str) -> Path | None:
        base = self.root.joinpath(*name.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return path
        return None

    def module(self, name: str) -> None:
        """Take in a module and the packages above it."""
        if any(name == s or name.startswith(s + ".") for s in self.skip):
            return
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            path = self.file(".".join(parts[:depth]))
            relative = path and path.relative_to(self.root).as_posix()
            if not path or relative in self.reached.files:
                continue
            self.reached.files.add(relative)
            if relative == LAZY:
                continue
            inside = ".".join(parts[:depth]) if path.name == "__init__.py" else ".".join(parts[: depth - 1])
            self.read(_tree(path), package=inside)

    def whole(self, name: str) -> None:
        """Take in a module that is used as an object: its lazy exports as well."""
        self.module(name)
        path = self.file(name)
        if path and path.name == "__init__.py":
            for target in lazy_exports(_tree(path)).values():
                self.module(_absolute(target, name))

    def siblings(self, package: str) -> None:
        folder = self.root.joinpath(*package.split("."))
        for path in folder.glob("*.py"):
            self.module(package if path.name == "__init__.py" else f"{package}.{path.stem}")

    def read(self, tree: ast.AST, package: str) -> None:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self.named(alias.name)
            elif isinstance(node, ast.ImportFrom):
                base = _absolute("." * node.level + (node.module or ""), package)
                self.imported_from(base, [alias.name for alias in node.names])
            elif isinstance(node, ast.Call) and _name(node.func) in {"import_module", "__import__"}:
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    self.named(_absolute(first.value, package))
                elif package:
                    self.siblings(package)

    def named(self, name: str) -> None:
        if name.split(".")[0] == "lib":
            self.whole(name)
        else:
            self.package(name)

    def imported_from(self, base: str, names: list[str]) -> None:
        if base.split(".")[0] != "lib":
            return self.package(base)
        self.module(base)
        path = self.file(base)
        lazy = lazy_exports(_tree(path)) if path and path.name == "__init__.py" else {}
        for name in names:
            if name in lazy:
                self.imported_from(_absolute(lazy[name], base), [name])  # which may pass the name on lazily itself
            elif self.file(f"{base}.{name}"):
                self.whole(f"{base}.{name}")

    def package(self, name: str) -> None:
        top = name.split(".")[0]
        if top and top not in sys.stdlib_module_names:
            self.reached.packages.add(DISTRIBUTIONS.get(top, top.replace("_", "-").lower()))


def lazy_exports(tree: ast.AST) -> dict[str, str]:
    """The table of an `exports(__name__, {"name": ".module"})` call; empty when there is none."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) == "exports" and len(node.args) == 2:
            return ast.literal_eval(node.args[1])
    return {}


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _absolute(name: str, package: str) -> str:
    dots = len(name) - len(name.lstrip("."))
    if not dots:
        return name
    parts = package.split(".")
    above = parts[: len(parts) - (dots - 1)]
    return ".".join(above + ([name[dots:]] if name[dots:] else []))


def _tree(path: Path) -> ast.AST:
    return _parsed(path, path.stat().st_mtime_ns, path.stat().st_size)


@cache
def _parsed(path: Path, mtime: int, size: int) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
