"""Typed parameters: what a chapter declares, and whether a value fits."""

from __future__ import annotations

import ast
import difflib
import types
import typing
from typing import Any

from lib.errors import BookError
from lib.press.paths import PROFILES


def declared(cell: str) -> dict[str, tuple[Any, Any]]:
    """Name -> (type, default) for the typed assignments of a parameters cell."""
    namespace: dict[str, Any] = {}
    exec(compile(cell, "<parameters>", "exec", dont_inherit=True), namespace)  # our own cell: typed constants
    return {name: (kind, namespace[name]) for name, kind in namespace.get("__annotations__", {}).items()}


def check(chapter: str, types_by_name: dict[str, Any], values: dict[str, Any]) -> None:
    """Raises BookError for the first value whose name is not declared or whose type does not fit."""
    for name, value in values.items():
        if name not in types_by_name:
            near = difflib.get_close_matches(name, types_by_name, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(types_by_name)}"
            raise BookError(f"chapter {chapter} has no parameter {name!r}; {hint}")
        if not fits(value, types_by_name[name]):
            raise BookError(
                f"parameter {name!r} of chapter {chapter} is {value!r}, a {type(value).__name__}; "
                f"give a value of type {_text(types_by_name[name])}"
            )
    if values.get("profile", "teach") not in PROFILES:
        raise BookError(f"profile {values['profile']!r} is not one of {', '.join(PROFILES)}")


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a declared type: plain types, list[...], dict[..., ...] and unions; a bool is no int."""
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, one) for one in inside)
    if origin is list:
        return isinstance(value, list) and all(fits(item, inside[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(fits(k, inside[0]) and fits(v, inside[1]) for k, v in value.items())
    if kind is None or kind is type(None):
        return value is None
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def injected(cells: list[str]) -> set[str]:
    """The names that papermill assigned: those of the last executed cell that begins with its `# Parameters` line."""
    for cell in reversed(cells):
        if cell.lstrip().startswith("# Parameters"):
            tree = ast.parse(cell)
            targets = [t for node in ast.walk(tree) if isinstance(node, ast.Assign) for t in node.targets]
            return {target.id for target in targets if isinstance(target, ast.Name)}
    return set()


def _text(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)
