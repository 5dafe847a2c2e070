"""A chapter's claims file: read, checked, typed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import yaml

from lib.errors import BookError
from lib.press.paths import Chapter
from lib.press.results import SETTINGS

KINDS = ("arithmetic", "direction", "magnitude", "protocol", "reasoning")


@dataclass(frozen=True)
class Claim:
    """One claim or number of a post, and how it is decided.

    id: its name, unique in the book. claim: what the post says, in our words. source: section of the facts sheet or of
    the post. kind: one of KINDS. reported: a number, a text, a list or a mapping. key: where the chapter records its
    value. exact, direction, undecidable: expressions over `value` and `reported`. missing: what the post does not
    state (with `undecidable`, or alone with a value that shows what the missing fact would change). setting: what our
    value must have been measured on to decide. profile: full when only a full run can decide.
    """

    id: str
    claim: str
    source: str
    kind: str
    key: str
    reported: Any = None
    exact: str | None = None
    direction: str | None = None
    undecidable: str | None = None
    missing: str | None = None
    setting: str = "post"
    profile: str = "teach"


def read(chapter: Chapter) -> list[Claim]:
    """The claims of a chapter; raises BookError naming the row and the field that is wrong."""
    where = chapter.claims.name
    if not chapter.claims.exists():
        raise BookError(f"chapter {chapter.number} has no data/claims/{where}; write its ledger rows there")
    rows = yaml.safe_load(chapter.claims.read_text(encoding="utf-8")) or []
    if not rows:
        raise BookError(f"data/claims/{where} is empty; a chapter has a row for every claim of its post")
    claims = [_claim(row, f"data/claims/{where} row {index}") for index, row in enumerate(rows, 1)]
    seen: set[str] = set()
    for claim in claims:
        if claim.id in seen:
            raise BookError(f"data/claims/{where}: id {claim.id!r} appears twice")
        seen.add(claim.id)
    return claims


def _claim(row: dict[str, Any], where: str) -> Claim:
    known = {field.name for field in fields(Claim)}
    where = f"{where} ({row.get('id', 'no id')})"
    unknown = sorted(set(row) - known)
    if unknown:
        raise BookError(f"{where} has an unknown field {unknown[0]!r}; a row takes {', '.join(sorted(known))}")
    absent = [name for name in ("id", "claim", "source", "kind", "key") if not row.get(name)]
    if absent:
        raise BookError(f"{where} lacks {absent[0]!r}")
    for name, allowed in (("kind", KINDS), ("setting", SETTINGS), ("profile", ("teach", "full"))):
        if name in row and row[name] not in allowed:
            raise BookError(f"{where}: {name} {row[name]!r} is not one of {', '.join(allowed)}")
    if not any(row.get(name) for name in ("exact", "direction", "undecidable")):
        raise BookError(f"{where} has no expression; give exact, direction or undecidable")
    if bool(row.get("undecidable")) != bool(row.get("missing")):
        raise BookError(f"{where}: undecidable and missing go together: what is not stated, and how that shows")
    return Claim(**row)
