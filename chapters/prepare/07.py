"""Prepare chapter 07: the chorales on their grid, parsed once from music21's corpus.

make prepare N=07
"""

from pathlib import Path

from lib.datasets import music

PIECES = {"teach": None, "smoke": 2}


def prepare(folder: Path, profile: str) -> None:
    """Write 07.chorales.npz."""
    music.save(music.parse(PIECES[profile]), folder / "07.chorales.npz")
