"""Where everything of the book and of a chapter lives."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from lib.errors import BookError

PROFILES = ("smoke", "teach", "full")
_SOURCE = re.compile(r"(\d\d)_([a-z0-9_]+)\.md")


@dataclass(frozen=True)
class Book:
    """The folder that holds chapters, claims and results."""

    root: Path

    @classmethod
    def current(cls) -> Book:
        """The book in the folder named by BOOK_ROOT, else the one that this library belongs to."""
        return cls(Path(os.environ.get("BOOK_ROOT") or Path(__file__).resolve().parents[2]))

    def chapters(self) -> list[Chapter]:
        """Every chapter that has a source, in order."""
        found = (_SOURCE.fullmatch(path.name) for path in (self.root / "chapters" / "src").glob("*.md"))
        return sorted((Chapter(self, m[1], m[2]) for m in found if m), key=lambda c: c.number)

    def chapter(self, number: str) -> Chapter:
        """The chapter with this two-digit number; raises BookError when there is none."""
        by_number = {c.number: c for c in self.chapters()}
        wanted = str(number).zfill(2)
        if wanted not in by_number:
            near = difflib.get_close_matches(wanted, by_number) or sorted(by_number)
            raise BookError(f"there is no chapter {number!r}; there is {', '.join(near) or 'none yet'}")
        return by_number[wanted]

    @property
    def runs(self) -> Path:
        """Where runs leave their files: the folder named by BOOK_RUNS, else `runs/`, which git ignores."""
        return Path(os.environ.get("BOOK_RUNS") or self.root / "runs")


@dataclass(frozen=True)
class Chapter:
    """One chapter: its number, its slug and the paths that follow from them."""

    book: Book
    number: str
    slug: str

    @property
    def name(self) -> str:
        return f"{self.number}_{self.slug}"

    @property
    def source(self) -> Path:
        return self.book.root / "chapters" / "src" / f"{self.name}.md"

    @property
    def notebook(self) -> Path:
        return self.book.root / "chapters" / f"{self.name}.ipynb"

    @property
    def claims(self) -> Path:
        return self.book.root / "data" / "claims" / f"{self.number}.yml"

    @property
    def exercises(self) -> Path:
        return self.book.root / "chapters" / "exercises" / f"{self.number}.py"

    def results(self, profile: str) -> Path:
        """The results on record for a profile (teach and full are committed)."""
        return self.book.root / "data" / "results" / f"{self.number}.{profile}.json"

    def table(self, sweep: str) -> Path:
        """The table on record of one of the chapter's sweeps."""
        return self.book.root / "data" / "results" / f"{self.number}.sweep_{sweep}.json"

    def tables(self) -> list[Path]:
        """All tables of sweeps on record."""
        return sorted((self.book.root / "data" / "results").glob(f"{self.number}.sweep_*.json"))

    def parameters(self, profile: str) -> Path | None:
        """The papermill parameters file of a profile; None for teach, whose values are the cell's defaults."""
        if profile not in PROFILES:
            raise BookError(f"profile {profile!r} is not one of {', '.join(PROFILES)}")
        return None if profile == "teach" else self.book.root / "chapters" / "params" / f"{self.number}.{profile}.yml"

    @property
    def title(self) -> str:
        """The first heading of the source."""
        match = re.search(r"^# (.+)$", self.source.read_text(encoding="utf-8"), flags=re.MULTILINE)
        if not match:
            raise BookError(f"{self.source.name} has no first-level heading; give the chapter a title")
        return match[1].strip()
