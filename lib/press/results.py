"""Recorded values and results files: plain numbers with where they come from."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from lib.errors import BookError
from lib.press.files import write_whole

SETTINGS = ("post", "real", "composed", "simulated", "pocket")
DIGITS = 8  # significant digits kept of a float


def plain(value: Any, where: str) -> Any:
    """A value as JSON holds it: numpy scalars and arrays become numbers and lists, floats keep eight digits.

    Raises BookError for a number that is not finite or a type that no results file can hold, naming `where`.
    """
    if isinstance(value, dict):
        return {str(key): plain(item, f"{where}[{key}]") for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise BookError(f"{where} is {value}; record a finite number, or say in words why there is none")
        return float(f"{value:.{DIGITS}g}")
    raise BookError(f"{where} is a {type(value).__name__}; record numbers, texts, lists or mappings of them")


def load(path: Path) -> dict[str, Any] | None:
    """A results file's content; None when nothing is on record."""
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise BookError(f"{path.name} is not valid JSON ({error}); restore it from version control") from None


def save(path: Path, results: dict[str, Any]) -> None:
    """Write a results file whole or not at all."""
    write_whole(path, json.dumps(results, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def look_up(values: dict[str, Any], key: str) -> Any:
    """The value under `key`, or inside it: `ratio.table[bit_r4][2]`. Raises BookError naming what is there."""
    name, *inside = key.replace("]", "").split("[")
    if name not in values:
        import difflib

        near = ", ".join(difflib.get_close_matches(name, values, n=3)) or "nothing like it"
        raise BookError(f"no value is recorded under {name!r}; on record: {near}")
    value = values[name]["value"]
    for step in inside:
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (KeyError, IndexError, ValueError, TypeError):
            raise BookError(f"{key!r}: there is no {step!r} in the value of {name!r}") from None
    return value


def differences(
    before: dict[str, Any], after: dict[str, Any], tolerance: dict[str, float | str], default: float | str
) -> list[str]:
    """Where two results differ by more than a relative tolerance, one line a key.

    `tolerance` overrides by key; a key whose tolerance is no number (`spread.FREE`) must be there and is not compared.
    """
    lines = []
    for part in ("values", "series"):
        old, new = before.get(part, {}), after.get(part, {})
        lines += [f"{part}: {key} is {'new' if key in new else 'gone'}" for key in sorted(old.keys() ^ new.keys())]
        for key in sorted(old.keys() & new.keys()):
            limit = tolerance.get(key, default)
            if not isinstance(limit, str):
                lines += [f"{part}: {key}: {line}" for line in _differ(old[key], new[key], limit)]
    return lines


def _differ(old: Any, new: Any, limit: float) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        return [line for key in old for line in _differ(old[key], new[key], limit)]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [line for a, b in zip(old, new, strict=True) for line in _differ(a, b, limit)]
    numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (old, new))
    if numbers and abs(old - new) <= limit * max(abs(old), abs(new)):
        return []
    return [] if old == new else [f"{old} became {new}"]
