"""A piano roll that a musician can read: the five lines of both clefs, bar lines, fermatas, one colour a voice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lib.models import chorale_tokens

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TREBLE, BASS = (64, 67, 71, 74, 77), (43, 47, 50, 53, 57)
"""The lines of the two staves as MIDI pitches: E4 G4 B4 D5 F5 and G2 B2 D3 F3 A3."""
LABELS = {48: "C3", 60: "C4", 72: "C5"}
LOWEST, HIGHEST = 36, 84
FINE = 4
"""Columns a sixteenth: the last of a note stays empty, so that a repeated note is seen as two."""
COLOURS = ("#FFFFFF00", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
"""Nothing, the four voices, fermatas."""


def picture(tokens: np.ndarray) -> np.ndarray:
    """Tokens [4, T] as an image [49, 4 T]: 0 nothing, 1 to 4 the voices, soprano first, 5 a fermata; low pitches first.

    Notes beyond C2..C6 are left out. Where voices meet on one pitch, the lower one is seen.
    """
    image = np.zeros((HIGHEST - LOWEST + 1, tokens.shape[1] * FINE))
    for voice, start, length, pitch, marked in chorale_tokens.notes(tokens):
        if not LOWEST <= pitch <= HIGHEST:
            continue
        image[pitch - LOWEST, start * FINE : (start + length) * FINE - 1] = voice + 1
        if marked:
            image[min(pitch + 2, HIGHEST) - LOWEST, start * FINE : start * FINE + 3] = 5
    return image


def draw(axes: Axes, tokens: np.ndarray, *, bar: int = 16, pickup: int = 0, title: str = "") -> None:
    """Draw tokens [4, T] on matplotlib axes; time in quarters. A black dot above a note marks a fermata.

    bar, pickup: sixteenths in a bar and before the first bar line.
    """
    from matplotlib.colors import ListedColormap

    beat, steps = chorale_tokens.STEPS_PER_QUARTER, tokens.shape[1]
    axes.hlines([*TREBLE, *BASS], 0, steps / beat, color="lightgrey", linewidth=0.8, zorder=0, label=f"{title} staves")
    lines = np.arange(pickup or bar, steps, bar) / beat
    axes.vlines(lines, LOWEST, HIGHEST, color="lightgrey", linewidth=0.8, zorder=0, label=f"{title} bars")
    place = (0, steps / beat, LOWEST - 0.5, HIGHEST + 0.5)
    looks = {"cmap": ListedColormap(COLOURS), "vmin": 0, "vmax": 5, "interpolation": "nearest", "zorder": 2}
    axes.imshow(picture(tokens), origin="lower", aspect="auto", extent=place, label=f"{title} notes", **looks)
    axes.set(title=title, yticks=list(LABELS), yticklabels=list(LABELS.values()))
