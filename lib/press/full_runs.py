"""What is on record of the full runs: recorded, recorded and since changed, or waiting."""

from __future__ import annotations

from lib.press import results, verdicts
from lib.press.paths import Book, Chapter


def describe(chapter: Chapter) -> str:
    """One sentence: where and when the full run was recorded and whether it is still today's, or that it waits."""
    on_record = results.load(chapter.results("full"))
    command = f"`make full N={chapter.number}`"
    if on_record is None:
        return f"The full run waits: nobody has recorded it yet. To run it: {command}."
    p = on_record["provenance"]
    told = f"Recorded on {p['date']} at commit {p['commit']} on {p['machine']} in {p['minutes']:g} minutes"
    changes = verdicts.full_changes(chapter)
    if not changes:
        return told + "."
    shown = ", ".join(changes[:4]) + (f" and {len(changes) - 4} more" if len(changes) > 4 else "")
    return f"{told}; since then changed: {shown}. To bring it up to date: {command}."


def status(book: Book) -> list[str]:
    """One line a chapter: recorded, recorded and since changed, or waiting."""
    return [f"{chapter.name}: {describe(chapter)}" for chapter in book.chapters()]
