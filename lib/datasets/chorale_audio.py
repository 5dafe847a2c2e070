"""A small organ for four voices: additive tones in plain numpy, so that a page can sing without a sound font.

Five harmonics that fall off by their number, a soft attack and release,
equal temperament at A4 = 440 Hz. Left out: rooms, voices, expression. Chapters 07 and 08, players.
"""

from __future__ import annotations

import numpy as np

from lib.errors import BookError
from lib.models import chorale_tokens

HARMONICS = (1.0, 0.5, 0.3, 0.15, 0.08)
ATTACK, RELEASE = 0.03, 0.06
"""Seconds in which a tone comes and goes."""


def render(tokens: np.ndarray, *, rate: int = 16000, tempo: float = 84.0) -> np.ndarray:
    """Tokens [4, T] as mono samples [n] between -0.9 and 0.9. tempo: quarters a minute.

    Raises BookError when no voice sounds.
    """
    step = 60 / tempo / chorale_tokens.STEPS_PER_QUARTER
    sound = np.zeros(round((tokens.shape[1] * step + RELEASE) * rate) + 1)
    for _, start, length, pitch, _ in chorale_tokens.notes(tokens):
        tone = _tone(pitch, length * step + RELEASE, rate)
        first = round(start * step * rate)
        sound[first : first + len(tone)] += tone[: len(sound) - first]
    loudest = np.abs(sound).max()
    if loudest == 0:
        raise BookError("no voice sounds in these tokens; give a piece with notes")
    return 0.9 * sound / loudest


def _tone(pitch: int, seconds: float, rate: int) -> np.ndarray:
    frequency = 440 * 2 ** ((pitch - 69) / 12)
    time = np.arange(round(seconds * rate)) / rate
    parts = [
        weight * np.sin(2 * np.pi * number * frequency * time)
        for number, weight in enumerate(HARMONICS, 1)
        if number * frequency < rate / 2
    ]
    envelope = np.minimum(1, np.minimum(time / ATTACK, np.maximum(seconds - time, 0) / RELEASE))
    return envelope * np.sum(parts, axis=0)
