"""A piano roll that a musician can read: the five lines of both clefs, bar lines, fermatas, one colour a voice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.models import chorale_tokens

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

TREBLE, BASS = (64, 67, 71, 74, 77), (43, 47, 50, 53, 57)
"""The lines of the two staves as MIDI pitches: E4 G4 B4 D5 F5 and G2 B2 D3 F3 A3."""
LABELS = {48: "C3", 60: "C4", 72: "C5"}


def draw(axes: Axes, tokens: np.ndarray, *, bar: int = 16, pickup: int = 0, title: str = "") -> None:
    """Draw tokens [4, T] on matplotlib axes; time in quarters.

    bar, pickup: sixteenths in a bar and before the first bar line. A dot above a note marks a fermata.
    """
    beat, steps = chorale_tokens.STEPS_PER_QUARTER, tokens.shape[1]
    axes.hlines([*TREBLE, *BASS], 0, steps / beat, color="lightgrey", linewidth=0.8, zorder=0, label=f"{title} staves")
    for line in range(pickup or bar, steps, bar):
        axes.axvline(line / beat, color="lightgrey", linewidth=0.8, zorder=0)
    found = chorale_tokens.notes(tokens)
    for voice, name in enumerate(chorale_tokens.VOICES):
        mine = [
            (start / beat, (start + length) / beat - 0.06, pitch) for v, start, length, pitch, _ in found if v == voice
        ]
        if mine:
            starts, ends, pitches = zip(*mine, strict=True)
            axes.hlines(pitches, starts, ends, color=f"C{voice}", linewidth=4, label=f"{title} {name}")
    marks = [(start / beat, pitch + 2) for _, start, _, pitch, marked in found if marked]
    if marks:
        axes.plot(*zip(*marks, strict=True), "o", color="black", markersize=3, label=f"{title} fermatas")
    axes.set(title=title, xlim=(0, steps / beat), ylim=(36, 84), yticks=list(LABELS), yticklabels=list(LABELS.values()))
