"""Numbers in prose: written once by hand, kept true by the results.

`1.028<!--= ratio.bit_r4 :.3f -->` shows 1.028 wherever the text is read; the comment says which recorded value it is
and how it is written. `full:KEY` reads the full run, `verdict:CLAIM` a verdict; a value that waits reads `not yet run`.
"""

from __future__ import annotations

import re
from typing import Any

from lib.errors import BookError
from lib.press import results, verdicts
from lib.press.paths import Chapter

WAITING = "not yet run"
_PHRASES = "|".join([WAITING, *sorted(verdicts.VERDICTS, key=len, reverse=True)])
_TIE = re.compile(rf"({_PHRASES}|[^\s<>(\[|*]+)<!--= *([^>]+?)(?: +(:\S+))? *-->")
_FENCE = re.compile(r"^```.*?^```$", flags=re.DOTALL | re.MULTILINE)
_MATH = re.compile(r"\$\$.*?\$\$|\$[^$\n]+\$|`[^`\n]+`|\]\([^)]*\)", flags=re.DOTALL)
_DECIMAL = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.]*\d*<!--=)(?![\w.])")


def rewrite(text: str, chapter: Chapter) -> str:
    """The text with every tied number brought up to date; raises BookError for a tie to nothing on record."""
    values = {profile: results.load(chapter.results(profile)) for profile in ("teach", "full")}
    return _TIE.sub(lambda match: _tied(match, chapter, values), text)


def stale(text: str, chapter: Chapter) -> list[str]:
    """Every tied number that is no longer what is on record: `1.02 should read 1.03 (ratio.bit_r4)`."""
    values = {profile: results.load(chapter.results(profile)) for profile in ("teach", "full")}
    lines = []
    for match in _TIE.finditer(text):
        now = _tied(match, chapter, values).split("<!--=")[0]
        if now != match[1]:
            lines.append(f"{match[1]} should read {now} ({match[2]})")
    return lines


def untied(text: str, reported: set[str]) -> list[str]:
    """Decimal numbers in prose that are neither tied to a result nor reported by the post."""
    body = _FENCE.sub("", re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL))
    body = _TIE.sub("", _MATH.sub("", body))
    return sorted({number for number in _DECIMAL.findall(body) if number not in reported})


def _tied(match: re.Match[str], chapter: Chapter, values: dict[str, Any]) -> str:
    _, key, form = match.groups()
    return f"{_text(key, form, chapter, values)}<!--= {key}{' ' + form if form else ''} -->"


def _text(key: str, form: str | None, chapter: Chapter, values: dict[str, Any]) -> str:
    if key.startswith("verdict:"):
        claim = key.removeprefix("verdict:")
        found = [v.verdict for v in verdicts.chapter_verdicts(chapter) if v.id == claim]
        if not found:
            raise BookError(f"{chapter.source.name} names the verdict of {claim!r}, which is no claim of this chapter")
        return found[0]
    profile, name = ("full", key.removeprefix("full:")) if key.startswith("full:") else ("teach", key)
    on_record = values[profile]
    if on_record is None:
        return WAITING
    value = results.look_up(on_record["values"], name)
    return format(value, form[1:]) if form else verdicts.short(value)
