"""Questions about the tag table: six scenarios, with disjoint sentences and disjoint tags for each split (chapter 01).

Prompts are plain sentences that end with a new line, where the answer begins.
Every word of a validation or test sentence occurs in some training sentence too, so that a small tokenizer knows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from lib.errors import BookError

from .taxonomy import ROLES, Split, Tag, Taxonomy, describe, spellings

Kind = Literal["reverse", "direct", "context", "unknown", "typo", "choice"]
KINDS: tuple[Kind, ...] = get_args(Kind)
REFUSAL = "not in the table"
SUBCLASSES: Mapping[Kind, tuple[str, ...]] = {
    "reverse": ("cue", "cueless", "overlap"),
    "direct": ("",),
    "context": ("",),
    "unknown": ("cue", "cueless"),
    "typo": ("word", "tag"),
    "choice": ("",),
}

# Sentences by (kind, subclass) and split. {d}: a description; {t}: a tag; {o}: the options of a choice.
_CUE = {
    "train": (
        "what tag do we use for {d} ?",
        "give the tag for {d}",
        "which tag names {d} ?",
        "write the tag that names {d} please",
        "{d} has the tag",
        "is there a tag for {d} ?",
    ),
    "validation": ("which tag do we use for {d} ?", "please give the tag that names {d}"),
    "test": ("what is the tag for {d} ?", "please write the tag for {d}", "which tag has {d} ?"),
}
_CUELESS = {
    "train": (
        "what do we call {d} ?",
        "how do we write {d} ?",
        "give the short form of {d}",
        "{d} is written as",
        "name {d} please",
    ),
    "validation": ("what is the short form of {d} ?", "how is {d} written ?"),
    "test": ("what do we write for {d} ?", "please name {d}", "give {d} as we write it"),
}
TEMPLATES: Mapping[tuple[str, str], Mapping[Split, tuple[str, ...]]] = {
    ("reverse", "cue"): _CUE,
    ("reverse", "cueless"): _CUELESS,
    ("reverse", "overlap"): {
        "train": (
            "what is the bacnet object name of {d} ?",
            "name the bacnet point for {d}",
            "give the object name of the point {d}",
            "the bacnet object {d} is written as",
        ),
        "validation": ("give the bacnet object name for {d}", "what is the object name of {d} ?"),
        "test": (
            "what is the bacnet name of the point {d} ?",
            "name the object {d} as the bacnet point",
            "the object name for the bacnet point {d} is",
        ),
    },
    ("direct", ""): {
        "train": ("what is {t} ?", "what does {t} name ?", "write out {t} please", "the tag {t} means"),
        "validation": ("what does the tag {t} name ?", "please write out {t}"),
        "test": ("what is the tag {t} ?", "please write out the tag {t}", "{t} means"),
    },
    ("context", ""): {
        "train": (
            "is {t} physical or virtual ?",
            "physical or virtual , {t} ?",
            "tell if {t} is a physical or a virtual point",
            "is the tag {t} virtual or physical ?",
        ),
        "validation": ("tell if the tag {t} is physical or virtual", "{t} , is it a physical or a virtual point ?"),
        "test": (
            "is the point {t} physical or virtual ?",
            "tell if {t} is virtual or physical",
            "{t} , virtual or physical ?",
        ),
    },
    ("unknown", "cue"): _CUE,
    ("unknown", "cueless"): _CUELESS,
    ("typo", "word"): {
        "train": ("what tag do we use for {d} ?", "give the tag for {d}", "what do we call {d} ?", "{d} has the tag"),
        "validation": ("which tag do we use for {d} ?", "how is {d} written ?"),
        "test": ("what is the tag for {d} ?", "please write the tag for {d}", "what do we write for {d} ?"),
    },
    ("typo", "tag"): {
        "train": (
            "the list says {t} for {d} , what is the right tag ?",
            "{t} was meant as {d} , write the right tag",
            "mend the tag {t} , it names {d}",
        ),
        "validation": ("the list has {t} for {d} , mend the tag",),
        "test": ("the list says {t} for {d} , mend it", "write the right tag , {t} was meant as {d}"),
    },
    ("choice", ""): {
        "train": (
            "which of {o} names {d} ?",
            "{d} : {o} , which is right ?",
            "one of {o} is the tag for {d} , which ?",
        ),
        "validation": ("which is right for {d} : {o} ?",),
        "test": ("which of {o} is the tag for {d} ?", "{d} is one of {o} , which is right ?"),
    },
}

# The first phase: how the outside world talks of points, and what it calls them.
PUBLIC_TEMPLATES = (
    "what is the bacnet object name of {d} ?",
    "name the bacnet point for {d}",
    "give the object name of {d}",
    "the point {d} is written as",
    "what do we call {d} ?",
    "how do we write {d} ?",
    "name {d}",
    "{d} is named",
)


@dataclass(frozen=True)
class Item:
    """One question, its answer, and what a reward may look at."""

    kind: Kind
    """The scenario."""
    subclass: str
    """Which form of it (SUBCLASSES), or an empty text."""
    prompt: str
    """The question."""
    tag: str
    """The right tag; for an unknown, the tag of the listed point in the phrase: the trap (or an empty text)."""
    answers: tuple[str, ...]
    """What is right; the first is what supervised training shows."""
    keywords: tuple[str, ...]
    """For a context question, the words of a sound reason."""
    options: tuple[str, ...]
    """For a choice, the tags offered."""
    verbose: str
    """The BACnet-style spelling of what is asked for, where a tag or a refusal is right; else an empty text."""
    split: Split
    """The split that the sentence belongs to."""

    @property
    def answer(self) -> str:
        """What supervised training shows."""
        return self.answers[0]


@dataclass(frozen=True)
class Pair:
    """One line of the first phase: a prompt and its answer."""

    prompt: str
    answer: str


def scenarios(
    taxonomy: Taxonomy,
    kind: Kind,
    split: Split,
    count: int,
    rng: np.random.Generator,
    *,
    subclass: str | None = None,
    tags: Split | None = None,
) -> list[Item]:
    """`count` questions of one kind, with the sentences of a split and the tags of `tags` (the same split by default).

    Sentences, tags and unlisted equipment of the three splits are disjoint; `tags="train", split="test"` asks known
    tags in new sentences. Without `subclass` the subclasses take turns. Chapter 01, the scenarios.
    Raises BookError for an unknown kind, split or subclass, or a count below 1.
    """
    if kind not in KINDS:
        raise BookError(f"no scenario {kind!r}: choose one of {', '.join(KINDS)}")
    for name in (split, tags or split):
        if name not in get_args(Split):
            raise BookError(f"no split {name!r}: choose one of {', '.join(get_args(Split))}")
    if subclass is not None and subclass not in SUBCLASSES[kind]:
        raise BookError(f"scenario {kind} has no subclass {subclass!r}: choose one of {', '.join(SUBCLASSES[kind])}")
    if count < 1:
        raise BookError(f"{count} questions cannot be drawn: ask for 1 or more")
    rows = taxonomy.of(tags or split)
    if kind == "context":
        rows = _balanced(rows)
    order = _repeat(rows, count, rng)
    forms = SUBCLASSES[kind] if subclass is None else (subclass,)
    return [_item(taxonomy, kind, forms[place % len(forms)], split, row, rng) for place, row in enumerate(order)]


def verbose_corpus(taxonomy: Taxonomy, count: int, rng: np.random.Generator, typo_share: float = 0.2) -> list[Pair]:
    """`count` lines of the first phase: public questions with Brick or BACnet-style names as answers, and the way back.

    A share of the questions has a misspelled word, as public text has, so that the model can read one. No short tag of
    ours occurs. Chapter 01, the model before.
    """
    lines = []
    for name in _repeat(taxonomy.public, count, rng):
        said, spelling = describe(name), spellings(name)[int(rng.integers(2))]
        if rng.random() < 0.15:
            lines.append(Pair(f"what does {spelling} name ?\n", said))
            continue
        shown = misspell_words(said, rng) if rng.random() < typo_share else said
        lines.append(Pair(_pick(PUBLIC_TEMPLATES, rng).format(d=shown) + "\n", spelling))
    return lines


def misspell(word: str, rng: np.random.Generator) -> str:
    """One slip of the keyboard in a word: a letter dropped, doubled, replaced, or two neighbours swapped.

    Always differs from the word, and is one edit away from it (optimal string alignment).
    """
    letters = "abcdefghijklmnopqrstuvwxyz" if word.islower() else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    while True:
        place = int(rng.integers(len(word)))
        slip = ("drop", "double", "replace", "swap")[int(rng.integers(4))]
        if slip == "drop":
            made = word[:place] + word[place + 1 :]
        elif slip == "double":
            made = word[: place + 1] + word[place:]
        elif slip == "replace":
            made = word[:place] + letters[int(rng.integers(26))] + word[place + 1 :]
        else:
            made = word[:place] + word[place + 1 : place + 2] + word[place] + word[place + 2 :]
        if made and made != word:
            return made


def misspell_words(text: str, rng: np.random.Generator) -> str:
    """A text with one slip in one of its longer words (four letters or more, if it has one)."""
    parts = text.split()
    places = [place for place, word in enumerate(parts) if len(word) >= 4] or list(range(len(parts)))
    place = places[int(rng.integers(len(places)))]
    parts[place] = misspell(parts[place], rng)
    return " ".join(parts)


def _item(taxonomy: Taxonomy, kind: Kind, subclass: str, split: Split, row: Tag, rng: np.random.Generator) -> Item:
    template = _pick(TEMPLATES[kind, subclass][split], rng)
    tag, answers, verbose = row.tag, (row.tag,), row.verbose[1]
    keywords: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    fields = {"d": row.description, "t": row.tag}
    if kind == "direct":
        answers, verbose = (row.description,), ""
    elif kind == "context":
        step, virtual = ROLES[row.role]
        keywords, verbose = (row.role, step), ""
        answers = (f"{row.role} , {step} , {'virtual' if virtual else 'physical'}",)
    elif kind == "unknown":
        phrase = _pick(taxonomy.unlisted[split], rng)
        if row.equipment:
            tag = ""
        else:
            phrase = f"{phrase} {row.description}"
        fields["d"], answers = phrase, (REFUSAL,)
        verbose = "".join(word.capitalize() for word in phrase.split())
    elif kind == "typo":
        if subclass == "word":
            fields["d"] = misspell_words(row.description, rng)
        else:
            fields["t"] = _near(row.tag, taxonomy.names, rng)
    elif kind == "choice":
        options = _options(taxonomy, row, split, rng)
        fields["o"] = " or ".join(options)
    return Item(kind, subclass, template.format(**fields) + "\n", tag, answers, keywords, options, verbose, split)


def _near(tag: str, names: frozenset[str], rng: np.random.Generator) -> str:
    """A misspelled tag that is no other tag of the table."""
    for _ in range(100):
        made = misspell(tag, rng)
        if made not in names:
            return made
    return tag + tag[-1] * 2


def _options(taxonomy: Taxonomy, row: Tag, split: Split, rng: np.random.Generator) -> tuple[str, ...]:
    """The right tag and two distractors that share a code with it, in random order."""
    others = [other for other in taxonomy.tags if other.tag != row.tag and set(other.pieces) & set(row.pieces)]
    others = others if len(others) > 1 else [other for other in taxonomy.tags if other.tag != row.tag]
    chosen = [row.tag, *(others[int(place)].tag for place in rng.choice(len(others), 2, replace=False))]
    return tuple(chosen[int(place)] for place in rng.permutation(3))


def _balanced(rows: Sequence[Tag]) -> list[Tag]:
    """As many physical rows as virtual ones, so that a constant answer scores a half."""
    sides = [[row for row in rows if row.virtual == virtual] for virtual in (False, True)]
    size = min(map(len, sides))
    return [
        row for pair in zip(*(side[:: max(1, len(side) // size)][:size] for side in sides), strict=True) for row in pair
    ]


def _repeat(items: Sequence, count: int, rng: np.random.Generator) -> list:
    """`count` items in random order, each once before any comes twice."""
    order: list = []
    while len(order) < count:
        order.extend(items[int(place)] for place in rng.permutation(len(items)))
    return order[:count]


def _pick(items: Sequence[str], rng: np.random.Generator) -> str:
    return items[int(rng.integers(len(items)))]
