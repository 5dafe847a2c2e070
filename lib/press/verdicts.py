"""Verdicts: what a recorded value says of a claim (README.md has the table of rules)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lib.errors import BookError
from lib.press import claims, digest, results
from lib.press.expressions import truth
from lib.press.paths import Book, Chapter

HOLDS = "holds"
IN_DIRECTION = "holds in direction"
FAILS = "fails"
NOT_COMPARABLE = "not comparable here"
UNDECIDABLE = "undecidable as reported"
WAITS = "waits for a full run"
VERDICTS = (HOLDS, IN_DIRECTION, FAILS, NOT_COMPARABLE, UNDECIDABLE, WAITS)
SETTING_WORDS = {
    "post": "the post's own numbers",
    "real": "real data",
    "composed": "data composed of real pieces",
    "simulated": "simulated data",
    "pocket": "pocket-size data",
}
PROFILE_WORDS = {"teach": "as this page runs", "full": "in the full run"}
_OWN = ("post", "real")  # settings in which our number may contradict the post's
_GENERAL = ("arithmetic", "protocol", "reasoning")  # kinds that any setting can decide


@dataclass(frozen=True)
class Verdict:
    """A claim with its computed verdict and the evidence for it."""

    chapter: str
    chapter_title: str
    slug: str
    id: str
    claim: str
    source: str
    kind: str
    reported: Any
    value: Any
    setting: str | None
    profile: str | None
    verdict: str
    evidence: str
    stale: bool = False


def verdicts(book: Book) -> list[Verdict]:
    """Every claim of every chapter with its verdict, from the results on record."""
    return [verdict for chapter in book.chapters() for verdict in chapter_verdicts(chapter)]


def chapter_verdicts(chapter: Chapter, live: dict[str, Any] | None = None) -> list[Verdict]:
    """The verdicts of one chapter; `live` stands for the teach values while the chapter runs."""
    teach = results.load(chapter.results("teach")) or {"values": {}}
    values = {"full": (results.load(chapter.results("full")) or {"values": {}})["values"]}
    values["teach"] = teach["values"] if live is None else live
    stale = bool(values["full"]) and bool(full_changes(chapter))
    title = chapter.title
    return [_decide(claim, chapter, title, values, stale) for claim in claims.read(chapter)]


def full_changes(chapter: Chapter) -> list[str]:
    """What has changed since the full run on record; empty when nothing has or nothing is on record."""
    on_record = results.load(chapter.results("full"))
    return digest.changed(on_record["digest_parts"], digest.result_parts(chapter, "full")) if on_record else []


def judge(claim: claims.Claim, value: Any, setting: str) -> str:
    """The verdict on a claim for a value measured on `setting`: the rules of README.md, in their order."""
    names = {"value": value, "reported": claim.reported}
    if claim.undecidable and truth(claim.undecidable, names):
        return UNDECIDABLE
    exact = bool(claim.exact) and truth(claim.exact, names)
    direction = exact or (bool(claim.direction) and truth(claim.direction, names))
    if setting in _OWN or claim.kind in _GENERAL:
        return HOLDS if exact else IN_DIRECTION if direction else FAILS
    if claim.kind == "direction" and direction:
        return IN_DIRECTION
    return NOT_COMPARABLE


def _decide(claim: claims.Claim, chapter: Chapter, title: str, values: dict[str, Any], stale: bool) -> Verdict:
    profiles = ["full"] if claim.profile == "full" else ["full", "teach"]
    found = next((profile for profile in profiles if claim.key in values[profile]), None)
    base = {name: getattr(claim, name) for name in ("id", "claim", "source", "kind", "reported")}
    base |= {"chapter": chapter.number, "chapter_title": title, "slug": chapter.slug}
    if found is None:
        return Verdict(**base, value=None, setting=None, profile=None, verdict=WAITS, evidence=_waiting(claim, values))
    row = values[found][claim.key]
    try:
        outcome = judge(claim, row["value"], row["setting"])
    except BookError as error:
        raise BookError(f"claim {claim.id}: {error}") from None
    evidence = _evidence(claim, row, found, outcome)
    return Verdict(
        **base,
        value=row["value"],
        setting=row["setting"],
        profile=found,
        verdict=outcome,
        evidence=evidence,
        stale=stale and found == "full",
    )


def _waiting(claim: claims.Claim, values: dict[str, Any]) -> str:
    small = values["teach"].get(claim.key)
    if small:
        return f"Only a full run can decide this; from {SETTING_WORDS[small['setting']]} it is {short(small['value'])}."
    return "No value is on record yet; the full run records it."


def _evidence(claim: claims.Claim, row: dict[str, Any], profile: str, outcome: str) -> str:
    parts = [f"Ours: {short(row['value'])}"]
    if "interval" in row:
        parts.append(f"95 % interval {short(row['interval'])}")
    if "n" in row:
        parts.append(f"n = {row['n']}")
    if "seeds" in row:
        parts.append("one seed" if len(row["seeds"]) == 1 else f"{len(row['seeds'])} seeds")
    text = ", ".join(parts) + f"; from {SETTING_WORDS[row['setting']]}, {PROFILE_WORDS[profile]}."
    if outcome == NOT_COMPARABLE and claim.direction:
        shown = truth(claim.direction, {"value": row["value"], "reported": claim.reported})
        text += " Its direction shows here." if shown else " Its direction does not show here."
    if outcome == UNDECIDABLE:
        text += f" Not stated: {claim.missing}"
    return text + (f" {row['note']}" if row.get("note") else "")


def short(value: Any) -> str:
    """A value as a reader wants it: few digits, long lists cut in the middle."""
    return _told(value, lambda x: f"{x:.3g}" if abs(x) < 1000 else f"{x:,.0f}")


def verbatim(value: Any) -> str:
    """A reported value digit for digit, long lists cut in the middle."""
    return _told(value, str)


def _told(value: Any, of_float: Callable[[float], str]) -> str:
    if value is None or isinstance(value, bool):
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return of_float(value)
    if isinstance(value, dict):
        return "; ".join(f"{key} {_told(item, of_float)}" for key, item in value.items())
    shown = [_told(item, of_float) for item in value]
    return "[" + ", ".join(shown if len(shown) <= 8 else [*shown[:4], "...", *shown[-2:]]) + "]"
