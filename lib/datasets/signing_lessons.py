"""What the readers of chapter 02 learn from: sets of phrases by name, windows of single letters, phrases of one signer.

A "signer" is here a language's takes with one turn and one stretch of the hand: the takes of another language stand in
for another person, and they are nothing more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lib.datasets import signing
from lib.datasets.composed_signing import TRAINING, Composer, Composing, Phrase, Take, lessons, strings
from lib.errors import BookError

SINGLES = 0.12
"""Share of lessons that are one letter long in the set that has any."""

OWN_LETTERS = 3
"""Letters that a language must have to stand for a signer, and letters in a calibration clip."""


def sets(source: Sequence[Take], count: int, seed: int) -> dict[str, list[Phrase]]:
    """`count` phrases of each kind: "phrases" of two letters or more, "with_letters" some of which are single letters,
    "american" composed from the American takes alone. Chapter 02, build it.
    """
    american = [take for take in source if take.language == "ase"]
    return {
        "phrases": lessons(source, count, seed),
        "with_letters": lessons(source, count, seed, singles=SINGLES),
        "american": lessons(american, count, seed),
    }


def windows(source: Sequence[Take], size: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows of one held letter each, float32 [count, size, 70], and their labels [count], 0 for A.

    What an isolated classifier is taught: a sign alone, held for the whole window.
    """
    rng = np.random.default_rng(seed)
    composer = Composer(source, replace(TRAINING, hold=(size, size), rate=(1.0, 1.0)))
    letters = [composer.letters[int(place)] for place in rng.integers(len(composer.letters), size=count)]
    clips = [composer.compose(letter, rng).inputs for letter in letters]
    return np.stack(clips), np.array([ord(letter) - ord("A") for letter in letters])


def of_signers(
    source: Sequence[Take], count: int, seed: int, frames: int = 24, composing: Composing = TRAINING
) -> tuple[list[Phrase], np.ndarray, list[str]]:
    """Phrases of one signer each, a calibration clip of the same signer, and who it was.

    Returns phrases, calibration float32 [count, frames, 70] of three of the signer's letters with the same turn and
    stretch of the hand, and language codes. Raises BookError when no language has three letters.
    """
    rng, composer = np.random.default_rng(seed), Composer(source, composing)
    own = {take.language: "".join(sorted({t.letter for t in source if t.language == take.language})) for take in source}
    signers = sorted(code for code, letters in own.items() if len(letters) >= OWN_LETTERS)
    if not signers:
        raise BookError(f"no language has {OWN_LETTERS} letters; give more takes to draw signers from")
    phrases, clips, who = [], [], []
    for _ in range(count):
        signer = signers[int(rng.integers(len(signers)))]
        shown = "".join(rng.choice(list(own[signer]), OWN_LETTERS, replace=False))
        text = strings(own[signer], 1, (2, 8), rng)[0]
        whole = composer.compose(f"{shown} {text}", rng, signer=signer)
        start = whole.spans[OWN_LETTERS][0]
        spans = tuple((first - start, last - start) for first, last in whole.spans[OWN_LETTERS + 1 :])
        phrases.append(Phrase(text, whole.inputs[start:], spans))
        clips.append(signing.resampled(whole.inputs[: whole.spans[OWN_LETTERS - 1][1]], frames))
        who.append(signer)
    return phrases, np.stack(clips), who
