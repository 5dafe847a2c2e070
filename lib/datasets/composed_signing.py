"""Fingerspelled words composed from real takes of single letters: real hands, composed movement between them.

A letter is held for a few frames of one take, moves on over a cosine, and falls short of its target where it is quick
(undershoot). A pause with a lowered, relaxed hand parts words. None of this is a recording of continuous signing.
Which takes count as the same hand shape is decided by distance to the American takes, with a cut that looks at those
takes alone (chapter 02, data).
"""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lib.datasets import signing
from lib.errors import BookError

LETTERS = string.ascii_uppercase
PAD, BOS, SPACE, FIRST = 0, 1, 2, 3  # token ids; letters follow from FIRST
VOCABULARY = FIRST + len(LETTERS)
HELD_OUT = ("bzs", "ise")  # Brazil, and Italy's left-handed signer mirrored: never trained on
SHAPE = slice(0, 63)


@dataclass(frozen=True)
class Take:
    """The held part of one clip, as model inputs float32 [T, 70]."""

    language: str
    letter: str
    inputs: np.ndarray


@dataclass(frozen=True)
class Composing:
    """How letters become a phrase; the frame rate is that of the clips, 25 a second."""

    hold: tuple[int, int] = (4, 8)
    """Fewest and most frames of a held letter at rate 1."""
    transition: tuple[int, int] = (2, 4)
    """Fewest and most frames between two letters at rate 1."""
    pause: tuple[int, int] = (5, 9)
    """Fewest and most frames of the lowered hand between words at rate 1."""
    rate: tuple[float, float] = (0.8, 1.25)
    """Slowest and fastest pace; a phrase draws one pace, all its lengths are divided by it."""
    undershoot: float = 0.25
    """Largest share of the way that a letter may stay short of its target, toward its neighbours."""
    turn: float = 0.0
    """Spread of a random turn of the hand in the picture, in radians; one turn a phrase. For training only."""
    stretch: float = 0.0
    """Spread of a random scale of the hand; one a phrase. For training only."""
    noise: float = 0.0
    """Spread of independent noise on every number of a hand. For training only."""

    def __post_init__(self) -> None:
        for name in ("hold", "transition", "pause", "rate"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise BookError(f"{name}={low, high}; give a lowest above 0 and a highest that is not below it")
        if not 0 <= self.undershoot <= 1 or min(self.turn, self.stretch, self.noise) < 0:
            raise BookError(f"undershoot={self.undershoot}; it is a share, and turn, stretch and noise are 0 or more")


TRAINING = Composing(turn=0.12, stretch=0.05, noise=0.03)


@dataclass(frozen=True)
class Phrase:
    """One composed phrase."""

    text: str
    """Capital letters, words parted by one blank."""
    inputs: np.ndarray
    """float32 [T, 70]."""
    spans: tuple[tuple[int, int], ...]
    """First frame and the one after the last of each character of the text."""

    @property
    def tokens(self) -> list[int]:
        """Token ids, without BOS and without the stop."""
        return encode(self.text)


def encode(text: str) -> list[int]:
    """Token ids of capital letters and blanks. Raises BookError for any other character."""
    strange = set(text) - set(LETTERS) - {" "}
    if strange:
        raise BookError(f"{sorted(strange)[0]!r} cannot be spelled here; use A to Z and blanks")
    return [SPACE if character == " " else FIRST + LETTERS.index(character) for character in text]


def decode(tokens: Iterable[int]) -> str:
    """The text of token ids; PAD and BOS are dropped."""
    return "".join(" " if token == SPACE else LETTERS[token - FIRST] for token in tokens if token >= SPACE)


def held(clip: signing.Recording, height: float = 0.2) -> np.ndarray:
    """The held part of a clip as inputs [T, 70]: the longest run of frames whose hand was found and whose wrist is
    within `height` shoulder widths of the clip's median among frames with the hand raised.
    """
    found = signing.inputs(signing.right_handed(clip).frames)
    wrist = found[:, 64]
    there = found[:, 69] > 0
    if not there.any():
        return found[:0]
    raised = wrist[there] <= np.median(wrist[there])
    good = there & (np.abs(wrist - np.median(wrist[there][raised])) < height)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], good.astype(int), [0]])))
    runs = edges.reshape(-1, 2)
    first, last = runs[np.argmax(runs[:, 1] - runs[:, 0])] if len(runs) else (0, 0)
    return found[first:last]


@lru_cache(maxsize=1)
def letter_takes() -> tuple[Take, ...]:
    """Every one-handed take of a letter A to Z that is held for three frames or more, all languages."""
    clips = [clip for clip in signing.recordings() if len(clip.letter) == 1 and clip.letter in LETTERS]
    takes = [Take(c.language, c.letter, held(c)) for c in clips if signing.handedness(c.frames) in ("left", "right")]
    return tuple(take for take in takes if len(take.inputs) >= 3)


def distance(one: Take, other: Take) -> float:
    """Root mean square distance of two mean hand shapes, over landmarks, in palms, depth left out."""
    shapes = [take.inputs[:, SHAPE].mean(axis=0).reshape(21, 3)[:, :2] for take in (one, other)]
    return float(np.sqrt(((shapes[0] - shapes[1]) ** 2).sum(axis=1).mean()))


@dataclass(frozen=True)
class Takes:
    """Takes to compose from, and the cut that chose them."""

    train: tuple[Take, ...]
    held_out: tuple[Take, ...]
    cut: float
    """Largest distance to the American take of the same letter, in palms."""


@lru_cache(maxsize=1)
def takes(quantile: float = 0.05) -> Takes:
    """The takes whose hand shape is the American one, parted by language: those of HELD_OUT are never trained on.

    The cut is a low quantile of the distances between different letters of the American alphabet; no other take moves
    it. Chapter 02, data.
    """
    american = {take.letter: take for take in letter_takes() if take.language == "ase"}
    pairs = [distance(one, other) for a, one in american.items() for b, other in american.items() if a < b]
    cut = float(np.quantile(pairs, quantile))
    near = [take for take in letter_takes() if distance(take, american[take.letter]) <= cut]
    parts = [tuple(t for t in near if (t.language in HELD_OUT) == kept) for kept in (False, True)]
    return Takes(*parts, cut)


def words() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words to train on and words held out (every fourth), 2 to 8 letters, from the topics of Python's own manual."""
    from pydoc_data.topics import topics

    found = sorted({part for key in topics for part in key.upper().replace("_", "-").split("-")})
    fit = [word for word in found if 2 <= len(word) <= 8 and set(word) <= set(LETTERS)]
    held_out = fit[::4]
    return tuple(word for word in fit if word not in held_out), tuple(held_out)


class Composer:
    """Composes phrases from some takes. Equal generators give equal phrases."""

    def __init__(self, source: Sequence[Take], composing: Composing = Composing()) -> None:
        if not source:
            raise BookError("there are no takes to compose from; give at least one")
        self.composing = composing
        self.by_letter: dict[str, list[Take]] = {}
        for take in source:
            self.by_letter.setdefault(take.letter, []).append(take)
        self.letters = "".join(sorted(self.by_letter))
        everything = np.concatenate([take.inputs for take in source])
        self.rest = everything.mean(axis=0).astype(np.float32)
        self.rest[64] += 0.35  # the wrist is lowered by a third of the shoulders' width
        self.rest[67] += 0.1  # and the elbow by less
        self.rest[69] = 1.0

    def compose(self, text: str, rng: np.random.Generator, rate: float | None = None, signer: str | None = None) -> Phrase:  # fmt: skip  # noqa: E501
        """One phrase. rate: its pace, drawn from the settings if None; signer: a language whose takes are preferred.

        Raises BookError for a letter without a take.
        """
        encode(text)
        lacking = set(text) - set(self.letters) - {" "}
        if lacking or not text.strip():
            raise BookError(f"{text!r} cannot be composed: no take shows {sorted(lacking) or 'anything'}")
        pace = rng.uniform(*self.composing.rate) if rate is None else rate
        targets = [self._segment(character, rng, pace, signer) for character in text]
        centres = [part.mean(axis=0) for part in targets]
        pieces, spans, at = [], [], 0
        for place, part in enumerate(targets):
            near = [centres[other] for other in (place - 1, place + 1) if 0 <= other < len(targets)]
            short = rng.uniform(0, self.composing.undershoot) if near else 0.0
            pull = short * (np.mean(near, axis=0) - centres[place]) if near else np.zeros(signing.INPUTS)
            part = part + pull.astype(np.float32)
            if pieces:
                bridge = self._bridge(pieces[-1][-1], part[0], rng, pace)
                pieces.append(bridge)
                at += len(bridge)
            pieces.append(part)
            spans.append((at, at + len(part)))
            at += len(part)
        return Phrase(text, self._varied(np.concatenate(pieces), rng), tuple(spans))

    def _count(self, span: tuple[int, int], rng: np.random.Generator, pace: float) -> int:
        return max(1, round(int(rng.integers(span[0], span[1] + 1)) / pace))

    def _segment(self, character: str, rng: np.random.Generator, pace: float, signer: str | None) -> np.ndarray:
        if character == " ":
            return np.repeat(self.rest[None], self._count(self.composing.pause, rng, pace), axis=0)
        count = self._count(self.composing.hold, rng, pace)
        options = self.by_letter[character]
        options = [take for take in options if take.language == signer] or options
        source = options[int(rng.integers(len(options)))].inputs
        if character in "JZ" or len(source) <= count:  # letters that move, and short takes, are taken whole
            return signing.resampled(source, count)
        start = int(rng.integers(len(source) - count + 1))
        return source[start : start + count]

    def _bridge(self, start: np.ndarray, end: np.ndarray, rng: np.random.Generator, pace: float) -> np.ndarray:
        count = self._count(self.composing.transition, rng, pace)
        weight = (0.5 - 0.5 * np.cos(np.pi * np.arange(1, count + 1) / (count + 1))).astype(np.float32)[:, None]
        return start * (1 - weight) + end * weight

    def _varied(self, sequence: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One turn and scale of the hand for the whole phrase, and noise on each number of it."""
        angle, scale = self.composing.turn * rng.normal(), np.exp(self.composing.stretch * rng.normal())
        matrix = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]) * scale
        hand = sequence[:, SHAPE].reshape(len(sequence), 21, 3) @ matrix.astype(np.float32).T
        hand = hand + self.composing.noise * rng.normal(size=hand.shape).astype(np.float32)
        return np.concatenate([hand.reshape(len(sequence), -1), sequence[:, 63:]], axis=1).astype(np.float32)


def strings(letters: str, count: int, lengths: tuple[int, int], rng: np.random.Generator) -> list[str]:
    """Random strings of letters, no letter twice in a row; lengths: fewest and most letters."""
    out = []
    for _ in range(count):
        text = ""
        for _ in range(int(rng.integers(lengths[0], lengths[1] + 1))):
            options = [letter for letter in letters if letter != text[-1:]]
            text += options[int(rng.integers(len(options)))]
        out.append(text)
    return out


def texts(
    letters: str, vocabulary: Sequence[str], count: int, rng: np.random.Generator, lengths: tuple[int, int] = (2, 8)
) -> list[str]:
    """A mixture to learn from: half random strings, a quarter words, a quarter two words with a pause.

    letters: those that can be composed; words that need others are left out.
    """
    fit = [word for word in vocabulary if set(word) <= set(letters)]
    out = strings(letters, count - count // 2, lengths, rng)
    for place in range(count // 2):
        amount = 1 if place % 2 == 0 or not fit else 2
        chosen = [fit[int(rng.integers(len(fit)))] for _ in range(amount)] if fit else strings(letters, 1, lengths, rng)
        out.append(" ".join(chosen))
    return [out[int(place)] for place in rng.permutation(count)]


def lessons(source: Sequence[Take], count: int, seed: int, singles: float = 0.0) -> list[Phrase]:
    """Phrases to learn from, with turns, stretches and noise. singles: the share of them that are one letter long.

    Held-out words never occur, except by chance among the random strings.
    """
    rng = np.random.default_rng(seed)
    composer = Composer(source, TRAINING)
    chosen = texts(composer.letters, words()[0], count, rng)
    for place in range(round(singles * count)):
        chosen[place] = composer.letters[int(rng.integers(len(composer.letters)))]
    return [composer.compose(text, rng) for text in chosen]


def trials(source: Sequence[Take], lengths: Iterable[int], each: int, seed: int, rate: float | None = None) -> list[Phrase]:  # fmt: skip  # noqa: E501
    """Random strings to be tested on, `each` of every length, without turns, stretches or noise."""
    rng = np.random.default_rng(seed)
    composer = Composer(source)
    drawn = [text for length in lengths for text in strings(composer.letters, each, (length, length), rng)]
    return [composer.compose(text, rng, rate=rate) for text in drawn]


def held_out_words(source: Sequence[Take], count: int, seed: int) -> list[Phrase]:
    """Held-out words, alone and in pairs, spelled with `source`; those that need a letter it lacks are left out."""
    rng = np.random.default_rng(seed)
    composer = Composer(source)
    fit = [word for word in words()[1] if set(word) <= set(composer.letters)]
    drawn = [[fit[int(rng.integers(len(fit)))] for _ in range(1 + place % 2)] for place in range(count)]
    return [composer.compose(" ".join(parts), rng) for parts in drawn]
