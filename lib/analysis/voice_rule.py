"""When does a voice appear? A rule on two measures of a recording, set between speech and what is none.

Frames that ignore each other change too fast; silence and a drone do not, but the one has no pitch and the other
nothing but pitch. So a voice must change slowly *and* hold its pitch for part of the time: more than silence, less
than a drone. Low fast modulation alone is fooled by a model that falls silent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lib.analysis.speech_measures import fast_modulation_share, steady_pitch_share
from lib.errors import BookError

STATIC = ("frames shuffled", "codes shuffled", "uniform", "noise")
"""Nulls that move too fast."""
STILL = ("frame held", "silence")
"""Nulls that hardly move: their share of fast modulation is a share of nothing and sets no level."""


def place(wave: np.ndarray) -> tuple[float, float]:
    """Share of fast modulation and share of steady pitch of samples [n]: where the recording lies. Chapter 09."""
    return fast_modulation_share(wave), steady_pitch_share(wave)


def window(speech: float, nulls: Sequence[float]) -> tuple[float, float]:
    """The values that are nearer to `speech` than to the nearest null on either side; a side without nulls is open."""
    below = [null for null in nulls if null < speech]
    above = [null for null in nulls if null >= speech]
    low = (speech + max(below)) / 2 if below else -np.inf
    high = (speech + min(above)) / 2 if above else np.inf
    return low, high


@dataclass(frozen=True)
class VoiceRule:
    """A voice lies inside both windows, ends excluded: of fast modulation, and of steady pitch. Used by chapter 09."""

    fast: tuple[float, float]
    """Window of the share of fast modulation."""
    steady: tuple[float, float]
    """Window of the share of steady pitch."""

    @classmethod
    def between(cls, levels: Mapping[str, Mapping[str, float]]) -> VoiceRule:
        """The rule halfway between speech and its nulls.

        levels: by name ("speech", STATIC and STILL), mean "fast_modulation" and "steady_pitch" of each set.
        Raises BookError when a set is missing.
        """
        missing = sorted({"speech", *STATIC, *STILL} - levels.keys())
        if missing:
            raise BookError(
                f"no levels of {missing[0]!r}; the rule lies between speech and {', '.join(STATIC + STILL)}"
            )
        fast = window(levels["speech"]["fast_modulation"], [levels[n]["fast_modulation"] for n in STATIC])
        steady = window(levels["speech"]["steady_pitch"], [levels[n]["steady_pitch"] for n in STATIC + STILL])
        return cls(fast, steady)

    def holds(self, fast: float, steady: float) -> bool:
        """Whether a recording that lies there has a voice."""
        return self.fast[0] < fast < self.fast[1] and self.steady[0] < steady < self.steady[1]

    def share(self, waves: Sequence[np.ndarray]) -> float:
        """Share of recordings, each samples [n], that have a voice."""
        return float(np.mean([self.holds(*place(wave)) for wave in waves]))


def first_majority(steps: Sequence[int], shares: Sequence[float]) -> int | None:
    """The first step at which at least half of the samples have a voice; None when there is none."""
    return next((step for step, share in zip(steps, shares, strict=True) if share >= 0.5), None)
