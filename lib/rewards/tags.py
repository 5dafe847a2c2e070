"""The reward of the tag post as a typed table of bands, and one small pure function per scenario (chapter 01).

The post gives seven rows: five scenarios and two modifiers; its multiple choice is trained, not rewarded, so it is
scored here like a reverse lookup. What the post leaves open is a field of `Bands` too, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Protocol

from lib.errors import BookError

REFUSALS = (
    "not in the table",
    "not in our table",
    "not listed",
    "no such tag",
    "no tag",
    "unknown",
    "does not exist",
    "cannot name",
    "i do not know",
    "i don't know",
)
HEDGES = (
    "maybe",
    "perhaps",
    "possibly",
    "probably",
    "might be",
    "could be",
    "i think",
    "i believe",
    "not sure",
    "i guess",
    "unsure",
    "it depends",
)
OUTCOMES = ("right", "partial", "trap", "other_tag", "verbose", "refused", "empty", "wrong")
_WORD = re.compile(r"[A-Za-z0-9]+(?:[_\-][A-Za-z0-9]+)*")


class Question(Protocol):
    """What a reward may look at; `lib.datasets.tag_scenarios.Item` has these fields."""

    kind: str
    tag: str
    answers: tuple[str, ...]
    keywords: tuple[str, ...]


@dataclass(frozen=True)
class Bands:
    """The numbers of the reward; the defaults are the post's, or ours where the docstring says so."""

    reverse_right: float = 1.0
    """Reverse lookup: the right tag and no other."""
    reverse_wrong: float = -0.8
    """Reverse lookup: anything else."""
    direct_right: float = 0.7
    """Direct lookup: every word of the description and none besides."""
    direct_partial: float = 0.3
    """Direct lookup: at least `partial_share` of the words."""
    direct_wrong: float = -0.5
    """Direct lookup: less than that."""
    context_right: float = 0.6
    """Context: the right one of physical and virtual."""
    context_bonus: float = 0.2
    """Context: added when every reasoning keyword stands there too. The post gives no size: ours."""
    context_wrong: float = -0.4
    """Context: the other one, both, or neither."""
    unknown_right: float = 1.0
    """Unknown equipment: a refusal that names no tag of the table."""
    unknown_trap: float = -1.0
    """Unknown equipment: names a real tag of the table, the trap."""
    unknown_wrong: float = -0.5
    """Unknown equipment: neither. The post does not say: ours."""
    typo_right: float = 1.2
    """Typo: the intended tag, recovered."""
    typo_wrong: float = -0.5
    """Typo: anything else, a refusal included."""
    hedging: float = -0.2
    """Modifier: hedging words where the answer can be known."""
    format: float = 0.1
    """Modifier: the answer stands in the asked form, without markup or a second line."""
    concision: float = 0.1
    """Modifier: the answer has at most `concise_words` words and is not empty."""
    partial_share: float = 0.5
    """Share of the words of a description that counts as a part. The post does not say: ours."""
    concise_words: int = 12
    """Words up to which an answer is short. The post does not say: ours."""
    typo_edits: int = 0
    """Edits within which a tag in an answer to a typo question is read as the intended one, if it is nearest. The post
    recovers by edit distance without a bound: 0 asks for the tag itself, 1 forgives one slip."""
    modifiers_when_wrong: bool = False
    """Whether format and concision are paid for a wrong answer too. The post does not say: ours is no."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, (int, float)) or value != value:
                raise BookError(f"band {field.name} is {value!r}: give a number")
        if not 0 < self.partial_share <= 1:
            raise BookError(f"band partial_share is {self.partial_share}: a share lies above 0 and is at most 1")
        if self.concise_words < 1 or self.typo_edits < 0:
            raise BookError(
                f"concise_words {self.concise_words} must be 1 or more, typo_edits {self.typo_edits} 0 or more"
            )

    def without_trap(self) -> Bands:
        """The same bands with the trap worth no more and no less than any other wrong answer to an unknown."""
        return Bands(**{**vars(self), "unknown_trap": self.unknown_wrong})


@dataclass(frozen=True)
class Reward:
    """The reward of one answer: its total, its parts by name, and what the answer was taken for."""

    total: float
    parts: Mapping[str, float]
    right: bool
    """The scenario's own criterion, before any modifier."""
    outcome: str
    """One of OUTCOMES: what was said, whatever it is worth."""


def tags_in(text: str, known: Collection[str]) -> list[str]:
    """The tags of the table that a text names, in order, once each; as whole words, capitals as in the table.

    A one-letter tag or a tag that is also an English word in capitals counts when it stands alone as a word.
    """
    found = (word for word in _WORD.findall(text) if word in known)
    return list(dict.fromkeys(found))


def refuses(text: str) -> bool:
    """Whether a text declines to name a tag."""
    plain = _plain(text)
    return any(phrase in plain for phrase in REFUSALS)


def hedges(text: str) -> bool:
    """Whether a text uses hedging words."""
    plain = f" {_plain(text)} "
    return any(f" {phrase} " in plain for phrase in HEDGES)


def verbose(text: str) -> bool:
    """Whether a text holds a name in the public style: two or more capitalised words joined, or joined by marks."""
    return bool(re.search(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+|\b[A-Z][A-Za-z0-9.]*(?:[_-][A-Z][a-z][A-Za-z0-9.]*)+", text))


def distance(left: str, right: str, bound: int | None = None) -> int:
    """Optimal string alignment distance: insertions, deletions, replacements, swaps of neighbours, one each.

    With a bound, any distance beyond it comes back as bound + 1.
    """
    if bound is not None and abs(len(left) - len(right)) > bound:
        return bound + 1
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        before, last, row = row, before, [i]
        for j, b in enumerate(right, 1):
            best = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                best = min(best, last[j - 2] + 1)
            row.append(best)
    return row[-1] if bound is None else min(row[-1], bound + 1)


def recover(word: str, known: Collection[str], bound: int = 1) -> str | None:
    """The one tag of the table within `bound` edits of a word, or None when there is none or more than one is nearest.

    A word that is a tag is itself. Chapter 01, typos. Raises BookError for a negative bound.
    """
    if bound < 0:
        raise BookError(f"an edit bound of {bound} does not exist: give 0 or more")
    if word in known:
        return word
    near = {tag: distance(word, tag, bound) for tag in known if abs(len(tag) - len(word)) <= bound}
    best = min(near.values(), default=bound + 1)
    nearest = [tag for tag, edits in near.items() if edits == best]
    return nearest[0] if best <= bound and len(nearest) == 1 else None


def reverse(item: Question, text: str, known: Collection[str], bands: Bands) -> tuple[float, str]:
    """Description to tag: the right tag alone, in any sentence that does not refuse."""
    if tags_in(text, known) == [item.tag] and not refuses(text):
        return bands.reverse_right, "right"
    return bands.reverse_wrong, _wrong(text, known)


def direct(item: Question, text: str, known: Collection[str], bands: Bands) -> tuple[float, str]:
    """Tag to description: all its words and no other, a part of them, or neither. The tag itself may be repeated."""
    said = {word.lower() for word in _WORD.findall(text) if word != item.tag}
    asked = set(item.answers[0].lower().split())
    if said - {"the", "a", "an", "is", "means"} == asked and not refuses(text):
        return bands.direct_right, "right"
    if len(said & asked) >= bands.partial_share * len(asked) and not refuses(text):
        return bands.direct_partial, "partial"
    return bands.direct_wrong, _wrong(text, ())


def context(item: Question, text: str, known: Collection[str], bands: Bands) -> tuple[float, str]:
    """Physical or virtual: the right word without the other, and a bonus for the whole reason."""
    said = set(_plain(text).split())
    right = item.answers[0].split()[-1]
    if said & {"physical", "virtual"} != {right}:
        return bands.context_wrong, _wrong(text, known)
    reasoned = bool(item.keywords) and set(item.keywords) <= said
    return bands.context_right + (bands.context_bonus if reasoned else 0.0), "right"


def unknown(item: Question, text: str, known: Collection[str], bands: Bands) -> tuple[float, str]:
    """Equipment that the table does not list: a refusal, unless it names a real tag after all, which is the trap."""
    if tags_in(text, known):
        return bands.unknown_trap, "trap"
    if refuses(text):
        return bands.unknown_right, "right"
    return bands.unknown_wrong, _wrong(text, known)


def typo(item: Question, text: str, known: Collection[str], bands: Bands) -> tuple[float, str]:
    """A misspelled question: the intended tag alone, or within `typo_edits` of it; refusing is wrong here."""
    if refuses(text):
        return bands.typo_wrong, _wrong(text, known)
    found = tags_in(text, known)
    if not found and bands.typo_edits:
        capital = (word for word in _WORD.findall(text) if word.isupper())
        found = [tag for tag in (recover(word, known, bands.typo_edits) for word in capital) if tag]
    if found == [item.tag]:
        return bands.typo_right, "right"
    return bands.typo_wrong, _wrong(text, known)


SCENARIOS: Mapping[str, Callable[[Question, str, Collection[str], Bands], tuple[float, str]]] = {
    "reverse": reverse,
    "direct": direct,
    "context": context,
    "unknown": unknown,
    "typo": typo,
    "choice": reverse,
}


def well_formed(item: Question, text: str, known: Collection[str]) -> bool:
    """Whether an answer stands in the asked form: one line, no markup, and a bare tag where a tag was asked for."""
    line = text.strip()
    if not line or "\n" in line or re.search(r"[*`#<>{}\[\]|]", line):
        return False
    return line in known if item.kind in {"reverse", "typo", "choice"} else True


def score(item: Question, completion: str, known: Collection[str], bands: Bands | None = None) -> Reward:
    """The reward of one completion. `known` is the table of tags (`Taxonomy.names`).

    The scenario's band first; then hedging, charged where the answer can be known (every scenario but unknown), and
    format and concision, paid to a right answer (or to all, see `Bands`). Chapter 01, the reward.
    Raises BookError for a scenario without a rule.
    """
    if item.kind not in SCENARIOS:
        raise BookError(f"no reward for scenario {item.kind!r}: choose one of {', '.join(SCENARIOS)}")
    bands = bands or Bands()
    value, outcome = SCENARIOS[item.kind](item, completion, known, bands)
    parts = {item.kind: value}
    if item.kind != "unknown" and hedges(completion):
        parts["hedging"] = bands.hedging
    if outcome == "right" or bands.modifiers_when_wrong:
        if well_formed(item, completion, known):
            parts["format"] = bands.format
        if len(completion.split()) <= bands.concise_words and (completion.strip() or bands.modifiers_when_wrong):
            parts["concision"] = bands.concision
    return Reward(sum(parts.values()), parts, outcome == "right", outcome)


def _wrong(text: str, known: Collection[str]) -> str:
    """What kind of wrong an answer is."""
    if not text.strip():
        return "empty"
    if refuses(text):
        return "refused"
    if tags_in(text, known):
        return "other_tag"
    return "verbose" if verbose(text) else "wrong"


def _plain(text: str) -> str:
    """Lower case, with marks turned into spaces and spaces single."""
    return " ".join(re.sub(r"[^a-z0-9'_-]+", " ", text.lower().replace("’", "'")).split())
