"""What a chapter calls: record a value, read the full run, show the verdicts."""

from __future__ import annotations

import difflib
import html
from typing import Any

from lib.errors import BookError
from lib.press import claims, current, full_runs, results
from lib.press.verdicts import Verdict, chapter_verdicts, verbatim


def record(
    key: str,
    value: Any,
    *,
    setting: str,
    n: int | None = None,
    interval: tuple[float, float] | None = None,
    seeds: list[int] | None = None,
    note: str | None = None,
) -> None:
    """Record a value of the running chapter under `key`.

    setting: what it was measured on (post, real, composed, simulated, pocket). n: number of observations. interval:
    a 95 % interval. seeds: the seeds behind it. Raises BookError for a key recorded twice, an unknown setting, a
    number that is not finite, or an interval that does not hold its value.
    """
    run = current.get()
    if key in run.values:
        raise BookError(f"value {key!r} is recorded twice; give each value its own key")
    if setting not in results.SETTINGS:
        raise BookError(f"value {key!r}: setting {setting!r} is not one of {', '.join(results.SETTINGS)}")
    row: dict[str, Any] = {"value": results.plain(value, key), "setting": setting}
    if interval is not None:
        low, high = results.plain(list(interval), key)
        if isinstance(row["value"], (int, float)) and not low <= row["value"] <= high:
            raise BookError(f"value {key!r}: {row['value']} lies outside its interval [{low}, {high}]")
        row["interval"] = [low, high]
    extra = {"n": n, "seeds": seeds, "note": note}
    run.values[key] = row | {name: results.plain(x, key) for name, x in extra.items() if x is not None}


def full(key: str | None = None) -> Any:
    """The full run's value under `key`, or all of them by key; None (or an empty mapping) while it waits."""
    on_record = results.load(current.get().chapter.results("full"))
    values = {name: row["value"] for name, row in on_record["values"].items()} if on_record else {}
    return values if key is None else values.get(key)


def sweep(name: str) -> dict[str, Any] | None:
    """The table of one of the running chapter's sweeps (`rows` of `parameters` and `values`), None while it waits."""
    return results.load(current.get().chapter.table(name))


def reported(claim: str) -> Any:
    """What the post reports in one of the running chapter's claims; raises BookError for an id that it lacks."""
    by_id = {row.id: row.reported for row in claims.read(current.get().chapter)}
    if claim not in by_id:
        near = difflib.get_close_matches(claim, by_id, n=3)
        raise BookError(f"there is no claim {claim!r}; near it: {', '.join(near) or 'none'}")
    return by_id[claim]


def full_run() -> Line:
    """One sentence on the running chapter's full run: where and when it was recorded, or that it waits."""
    return Line(full_runs.describe(current.get().chapter))


class Line:
    """A paragraph in a notebook, a line elsewhere."""

    def __init__(self, text: str):
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text


class Table:
    """Verdicts as a table in a notebook and as plain lines elsewhere."""

    def __init__(self, rows: list[Verdict]):
        self.rows = rows

    def __repr__(self) -> str:
        return "\n".join(f"{row.verdict:<24} {row.id}: {row.evidence}" for row in self.rows)

    def _repr_html_(self) -> str:
        head = "".join(f'<th scope="col">{name}</th>' for name in ("Claim", "Reported", "Verdict", "Evidence"))
        body = "".join(_html_row(row) for row in self.rows)
        return f'<table class="claims"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _html_row(row: Verdict) -> str:
    style = "verdict verdict-" + row.verdict.replace(" ", "-")
    reported = "" if row.reported is None else verbatim(row.reported)
    return (
        f'<tr id="claim-{html.escape(row.id)}"><td>{html.escape(row.claim)}</td><td>{html.escape(reported)}</td>'
        f'<td class="{style}">{row.verdict}</td><td>{html.escape(row.evidence)}</td></tr>'
    )


def table(prefix: str = "") -> Table:
    """The running chapter's claims (those whose id begins with `prefix`) with their verdicts, from the live values."""
    run = current.get()
    live = run.values if run.profile == "teach" else None
    return Table([row for row in chapter_verdicts(run.chapter, live) if row.id.startswith(prefix)])
