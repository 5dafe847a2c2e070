"""The generated pages: the cover's counts, the ledger and the registry of data, written for the site to include."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import yaml

from lib.press import claims
from lib.press.files import write_whole
from lib.press.paths import Book
from lib.press.verdicts import VERDICTS, Verdict, short, verdicts

_SUFFIX = ".PAGE"  # stands for .html in the site and .xhtml in the EPUB, see `_raw`


def generate(book: Book) -> None:
    """Write `book/_generated/{counts,ledger,data}.md` from the claims, the results on record and the registry."""
    claimed = verdicts(book)
    rows = yaml.safe_load((book.root / "data" / "registry.yml").read_text(encoding="utf-8"))
    pages = {
        "counts.md": counts_page(claimed),
        "ledger.md": ledger_page(claimed),
        "data.md": data_page(rows, {chapter.number: chapter.name for chapter in book.chapters()}),
    }
    for name, text in pages.items():
        path = book.root / "book" / "_generated" / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:  # an untouched page is not built again
            write_whole(path, text)


def counts_page(rows: list[Verdict]) -> str:
    """The cover's row: one number for each of the six verdicts, each a link into the filtered ledger."""
    counts = Counter(row.verdict for row in rows)
    items = "\n".join(
        f'<li><a href="ledger{_SUFFIX}#verdict={_slug(name)}">'
        f'<b class="verdict-{_slug(name)}">{counts[name]}</b> {name}</a></li>'
        for name in VERDICTS
    )
    chapters = {row.chapter: [one for one in rows if one.chapter == row.chapter] for row in rows}
    widest = max(map(len, chapters.values()), default=1)
    lines = "\n".join(_cover_line(claimed, widest) for claimed in chapters.values())
    total = f"{len(rows)} claims so far, of {len(chapters)} chapter{'s' * (len(chapters) != 1)}"
    return _raw(
        f'<ul class="counts" aria-label="Claims by verdict">\n{items}\n</ul>\n<p class="counts-total">{total}:</p>\n'
        f'<ol class="chapters">\n{lines}\n</ol>'
    )


def _cover_line(claimed: list[Verdict], widest: int) -> str:
    """A chapter on the cover: its title, and its claims as a bar with one part for each verdict.

    widest: the largest number of claims of a chapter, whose bar fills the width.
    """
    counts = Counter(row.verdict for row in claimed)
    found = [name for name in VERDICTS if counts[name]]
    said = f"{len(claimed)} claims: " + ", ".join(f"{counts[name]} {name}" for name in found)
    parts = "".join(f'<i class="verdict-{_slug(name)}" style="flex:{counts[name]}"></i>' for name in found)
    bar = f'<span class="bar" style="width:{100 * len(claimed) / widest:.0f}%">{parts}</span>'
    name, _, finding = html.escape(claimed[0].chapter_title).partition(": ")
    link = f'<a href="{_page(claimed[0])}"><b>{name}</b>{finding and f"<span>{finding}</span>"}</a>'
    return f'<li>{link}<span class="bars" role="img" aria-label="{said}" title="{said}">{bar}</span></li>'


def ledger_page(rows: list[Verdict]) -> str:
    """Every claim in one table, with the form that filters it (`book/_static/ledger.js`; without it, a plain table)."""
    if not rows:
        return "No claim is on record yet.\n"
    chapters = {row.chapter: _chapter_name(row) for row in rows}
    kinds = {name: name for name in claims.KINDS if any(row.kind == name for row in rows)}
    groups = [
        _boxes("Verdict", "verdict", {_slug(name): _mark(name) for name in VERDICTS}, rows),
        _boxes("Chapter", "chapter", chapters, rows),
        _boxes("Kind", "kind", kinds, rows),
    ]
    form = (
        '<form class="ledger-filters" aria-label="Filter the ledger" hidden="hidden">\n' + "\n".join(groups) + "\n"
        '<p class="foot"><button type="reset">Show all</button><span role="status"></span></p>\n</form>'
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Claim", "Reported", "Ours", "Verdict and evidence"))
    body = "\n".join(_ledger_row(row) for row in rows)
    table = f'<table class="ledger cards"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>'
    script = '<script defer="defer" src="../_static/ledger.js"></script>'
    return _only("not epub", form) + _raw(f'<div class="table-scroll">{table}</div>') + _only("not epub", script)


def data_page(rows: list[dict[str, Any]], chapters: dict[str, str]) -> str:
    """The registry as tables: what ships, what is fetched, what no chapter here uses yet.

    rows: data/registry.yml as read. chapters: number -> file name of each chapter that exists.
    """
    used = [row for row in rows if set(row["chapters"]) & set(chapters)]
    parts = {
        "Ships with the book": [row for row in used if row["tier"] == "ships"],
        "Fetched for full runs": [row for row in used if row["tier"] != "ships"],
        "Registered, not used by a chapter yet": [row for row in rows if row not in used],
    }
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Data set", "Licence", "Size", "Where from", "Chapter"))
    pages = []
    for title, part in parts.items():
        if part:
            body = "\n".join(_data_row(row, chapters) for row in part)
            table = f'<table class="registry cards"><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>'
            pages.append(f"## {title}\n\n" + _raw(f'<div class="table-scroll">{table}</div>'))
    return "\n".join(pages)


def _ledger_row(row: Verdict) -> str:
    changed = '<span class="meta">Recorded before the code changed; a new full run is due.</span>' if row.stale else ""
    anchor, verdict = html.escape(row.id, quote=True), _slug(row.verdict)
    chapter = f'<a href="{_page(row)}#claim-{anchor}">{_chapter_name(row)}</a>'
    return (
        f'<tr id="claim-{anchor}" data-verdict="{verdict}" data-chapter="{row.chapter}" data-kind="{row.kind}">'
        f'<td>{html.escape(row.claim)}<span class="meta">{chapter} · {row.kind}</span></td>'
        f'<td class="value" data-label="Reported">{_value(row.reported, str)}</td>'
        f'<td class="value" data-label="Ours">{_value(row.value, short)}</td>'
        f'<td>{_mark(row.verdict)}<span class="meta">{html.escape(row.evidence)}</span>{changed}</td></tr>'
    )


def _data_row(row: dict[str, Any], chapters: dict[str, str]) -> str:
    title, licence, size = html.escape(row["title"]), html.escape(row["licence"]), _size(row)
    notes = {name: html.escape(row.get(name) or "") for name in ("note", "licence_note")}
    notes = {name: f'<span class="meta">{text}</span>' if text else "" for name, text in notes.items()}
    if "address" in row:
        where = f'<a href="{html.escape(row["address"], quote=True)}">{html.escape(_host(row["address"]))}</a>'
    else:
        where = f"package {html.escape(row['package'])}" if "package" in row else html.escape(row["path"])
    links = ", ".join(
        f'<a href="../chapters/{chapters[number]}{_SUFFIX}">{number}</a>' if number in chapters else number
        for number in row["chapters"]
    )
    cells = {"Licence": licence + notes["licence_note"], "Size": size, "Where from": where, "Chapter": links}
    labelled = "".join(f'<td data-label="{label}">{text}</td>' for label, text in cells.items())
    return f'<tr id="data-{row["name"]}"><td>{title}{notes["note"]}</td>{labelled}</tr>'


def _boxes(legend: str, name: str, options: dict[str, str], rows: list[Verdict]) -> str:
    counts = Counter(_slug(getattr(row, name)) for row in rows)
    labels = "".join(
        f'<label><input type="checkbox" name="{name}" value="{value}"/>{text}'
        f' <span class="n">{counts[value]}</span></label>'
        for value, text in options.items()
    )
    return f'<fieldset><legend>{legend}</legend><div class="options">{labels}</div></fieldset>'


def _mark(verdict: str) -> str:
    return f'<span class="verdict-mark verdict-{_slug(verdict)}">{verdict}</span>'


def _slug(text: str) -> str:
    return text.replace(" ", "-")


def _value(value: Any, write: Callable[[Any], str]) -> str:
    """A value in a cell of the ledger; `write` is str for what was reported (digit for digit) and short for ours."""
    if value is None or isinstance(value, bool):
        return "–" if value is None else short(value)
    if isinstance(value, (list, dict)):
        items = value.items() if isinstance(value, dict) else enumerate(value, 1)
        lines = "".join(f"<li>{html.escape(f'{key}: {write(item)}')}</li>" for key, item in items)
        return f"<details><summary>{len(value)} value{'s' * (len(value) != 1)}</summary><ul>{lines}</ul></details>"
    return f"{value:,}" if type(value) is int else html.escape(write(value))


def _chapter_name(row: Verdict) -> str:
    return f"{row.chapter} {row.slug.replace('_', ' ')}"


def _page(row: Verdict) -> str:
    return f"../chapters/{row.chapter}_{row.slug}{_SUFFIX}"


def _size(row: dict[str, Any]) -> str:
    total = row.get("bytes") or sum(part["bytes"] for part in row.get("files", []))
    unit, scale = ("GB", 1e9) if total >= 1e9 else ("MB", 1e6) if total >= 1e5 else ("kB", 1e3)
    return f"{total / scale:.1f} {unit}" if total else ""


def _host(address: str) -> str:
    """Where an address leads, in few words: owner/repository on GitHub, else the host."""
    github = re.match(r"https://raw\.githubusercontent\.com/([^/]+/[^/]+)/", address)
    return github[1] if github else re.sub(r"^https?://([^/]+)/.*$", r"\1", address)


def _raw(text: str) -> str:
    """HTML that is passed through as it is, with links that fit the site and the EPUB."""
    if _SUFFIX not in text:
        return f"````{{raw}} html\n{text}\n````\n\n"
    return _only("not epub", text.replace(_SUFFIX, ".html")) + _only("epub", text.replace(_SUFFIX, ".xhtml"))


def _only(tag: str, text: str) -> str:
    return f"`````{{only}} {tag}\n````{{raw}} html\n{text}\n````\n`````\n\n"
