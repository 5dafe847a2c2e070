"""Real point names of two buildings as questions about the tag table: the reality check of chapter 01 (full run).

Engineers wrote these names (`supply temp`, `ra enthalpy`, `CTL STPT`), and other people labelled them with Brick-like
classes. A name whose label is a point class of our table becomes a question; all others are left out and counted.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from typing import Literal, get_args

from lib.errors import BookError

from . import registry
from .tag_scenarios import Item
from .taxonomy import Taxonomy

Building = Literal["ghc", "sdh"]
PROMPT = "what is the tag for {d} ?\n"
QUANTITIES = ("temperature", "humidity", "flow", "pressure", "dewpoint", "enthalpy")


def building_points(taxonomy: Taxonomy, building: Building) -> tuple[list[Item], dict[str, int]]:
    """Distinct point names of a building as cue questions, and counts: `labelled`, `matched` points, `names` asked.

    A name that engineers used for two classes is asked for the more frequent one. Labels omit the word air (zone
    temperature sensor), so it is tried before a quantity too. Chapter 01, the reality check.
    Raises BookError for an unknown building, and as `registry.fetch` does when the files are not on this machine.
    """
    if building not in get_args(Building):
        raise BookError(f"no building {building!r}: choose ghc (Gates Hillman Center) or sdh (Sutardja Dai Hall)")
    rows = {row.description: row for row in taxonomy.tags if not row.equipment}
    labelled = _ghc() if building == "ghc" else _sdh()
    seen: dict[str, Counter[str]] = {}
    matched = 0
    for written, labels in labelled:
        found = [rows[text].tag for label in labels for text in _readings(label) if text in rows]
        if found and written:
            matched += 1
            seen.setdefault(written, Counter())[found[0]] += 1
    items = []
    for written in sorted(seen):
        row = taxonomy.by_tag[seen[written].most_common(1)[0][0]]
        prompt = PROMPT.format(d=written)
        items.append(Item("reverse", "building", prompt, row.tag, (row.tag,), (), (), row.verbose[1], "test"))
    return items, {"labelled": len(labelled), "matched": matched, "names": len(items)}


def _readings(label: str) -> list[str]:
    text = label.replace("_", " ")
    return [text, *(text.replace(f" {word}", f" air {word}") for word in QUANTITIES if f" {word}" in text)]


def _plain(name: str) -> str:
    """A written name in lower case, marks as spaces, without numbered equipment; what is said twice is said once."""
    words = [word for word in re.sub(r"[^a-z0-9%]+", " ", name.lower()).split() if word == "co2" or word.isalpha()]
    half = len(words) // 2
    return " ".join(words[:half] if half and words[:half] == words[half:] else words)


def _ghc() -> list[tuple[str, list[str]]]:
    labels = json.loads((registry.fetch("plastering_points") / "ghc_tagsets.json").read_text(encoding="utf-8"))
    with registry.fetch("ghc_points").open(encoding="utf-8", newline="") as handle:
        points = list(csv.DictReader(handle))
    return [(_plain(points[int(place)]["point_type"]), found) for place, found in labels.items()]


def _sdh() -> list[tuple[str, list[str]]]:
    folder = registry.fetch("plastering_points")
    labels = json.loads((folder / "sdh_tagsets.json").read_text(encoding="utf-8"))
    found = []
    for line in (folder / "SDH-GROUND-TRUTH").read_text(encoding="utf-8").splitlines()[::2]:
        name = line.strip()
        key = re.sub(r"[^A-Za-z0-9]", "_", name)
        if key in labels:
            found.append((_plain(re.split(r"[:.]", name, maxsplit=2 if ":" in name else 1)[-1]), labels[key]))
    return found
