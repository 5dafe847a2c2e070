"""What each stage of training is shown about the tag table, and what all of them are examined on (chapter 01).

Imitation sees how the table is used by people who know the word "tag": reverse lookups with the cue, definitions,
choices, a few refusals. It never sees a tag asked for without the cue, as a pretrained model is asked. A share of
public names is replayed, so that what the first phase taught stays alive; in a large model nothing needs to be done for
that. Practice (GRPO) and pairs (DPO) see all forms, with the sentences and the tags of training alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lib.errors import BookError

from .tag_scenarios import REFUSAL, SUBCLASSES, Item, Kind, scenarios, verbose_corpus
from .taxonomy import Split, Taxonomy

HEDGED = "i think"  # a hedge that the reward knows
Form = tuple[Kind, str]

# Shares of the forms. Imitation: our guess at a table drilled with synthetic examples, fixed before any run on record.
IMITATION: Mapping[Form, float] = {
    ("reverse", "cue"): 0.36, ("direct", ""): 0.24, ("context", ""): 0.10, ("unknown", "cue"): 0.015,
    ("typo", "word"): 0.07, ("typo", "tag"): 0.07, ("choice", ""): 0.145,
}  # fmt: skip
PRACTICE: Mapping[Form, float] = {
    ("reverse", "cue"): 0.08, ("reverse", "cueless"): 0.12, ("reverse", "overlap"): 0.06, ("direct", ""): 0.10,
    ("context", ""): 0.10, ("unknown", "cue"): 0.12, ("unknown", "cueless"): 0.12, ("typo", "word"): 0.10,
    ("typo", "tag"): 0.10, ("choice", ""): 0.10,
}  # fmt: skip


def drawn(
    taxonomy: Taxonomy,
    shares: Mapping[Form, float],
    split: Split,
    count: int,
    rng: np.random.Generator,
    tags: Split | None = None,
) -> list[Item]:
    """About `count` questions in given shares of the forms, one of each at least; raises BookError for no questions."""
    if count < 1:
        raise BookError(f"{count} questions cannot be drawn: ask for 1 or more")
    whole, found = sum(shares.values()), []
    for (kind, subclass), share in shares.items():
        size = max(1, round(count * share / whole))
        found += scenarios(taxonomy, kind, split, size, rng, subclass=subclass, tags=tags)
    return found


def imitation(
    taxonomy: Taxonomy, count: int, rng: np.random.Generator, *, replay: float = 0.08, hedged: float = 0.2
) -> list[tuple[str, str]]:
    """About `count` pairs (prompt, answer) for supervised training.

    replay: share of public names among them. hedged: share of typo answers that begin with a hedge, as careful people
    write; the reward later charges for it. Chapter 01, "Build it".
    """
    for name, share in (("replay", replay), ("hedged", hedged)):
        if not 0 <= share < 1:
            raise BookError(f"{name}={share}; a share lies from 0 up and below 1")
    pairs = []
    for item in drawn(taxonomy, IMITATION, "train", max(1, round(count * (1 - replay))), rng):
        hedge = item.kind == "typo" and rng.random() < hedged
        pairs.append((item.prompt, f"{HEDGED} {item.answer}" if hedge else item.answer))
    if replay:
        pairs += [(pair.prompt, pair.answer) for pair in verbose_corpus(taxonomy, max(1, round(count * replay)), rng)]
    return pairs


def practice(taxonomy: Taxonomy, count: int, rng: np.random.Generator) -> list[Item]:
    """About `count` questions of all forms for training by reward. Chapter 01, "Build it"."""
    return drawn(taxonomy, PRACTICE, "train", count, rng)


def preferences(
    taxonomy: Taxonomy, count: int, rng: np.random.Generator, *, reverse_weight: float = 3.0
) -> list[tuple[str, str, str]]:
    """About `count` triples (prompt, chosen, rejected) for DPO.

    The right tag above its public spelling for lookups without the cue and with public words, drawn `reverse_weight`
    times as often as the rest (the post's 3); the right tag above the public spelling for typos; and a refusal above
    the real tag in the phrase for unknown equipment. Chapter 01, "Targeted DPO".
    """
    if not reverse_weight > 0:
        raise BookError(f"reverse_weight={reverse_weight}; it must be above 0")
    shares: dict[Form, float] = {("unknown", form): 0.5 for form in SUBCLASSES["unknown"]}
    shares |= {("typo", form): 0.5 for form in SUBCLASSES["typo"]}
    shares |= {("reverse", "cueless"): reverse_weight / 2, ("reverse", "overlap"): reverse_weight / 2}
    triples = []
    for item in drawn(taxonomy, shares, "train", count, rng):
        rejected = item.tag if item.kind == "unknown" and item.tag else item.verbose
        triples.append((item.prompt, item.answer, rejected))
    return triples


def flawed_reasons(taxonomy: Taxonomy, count: int, rng: np.random.Generator) -> list[tuple[str, str, str]]:
    """About `count` triples for DPO by steps on context questions: a shared sound start, then a right or a wrong step.

    The prompt of a triple holds the question and the steps before the one in doubt, so that only that step is judged
    (Step-DPO, Lai et al. 2024). Chapter 01, "Pushing further".
    """
    items = drawn(taxonomy, {("context", ""): 1.0}, "train", count, rng)
    others = [item.answer.split() for item in items]
    triples = []
    for item in items:
        steps = item.answer.split()  # role , step , verdict
        place = int(rng.choice([0, 4]))
        wrong = [other for other in others if other[place] != steps[place]]
        bad = wrong[int(rng.integers(len(wrong)))]
        start = " ".join(steps[:place])
        join = " " if start else ""
        triples.append((item.prompt + start, join + " ".join(steps[place:]), join + " ".join(bad[place:])))
    return triples


def exam(taxonomy: Taxonomy, each: int, rng: np.random.Generator, *, tags: Split | None = None) -> list[Item]:
    """`each` test questions of every scenario, its forms in turn. tags="train" asks known tags in new sentences."""
    found: list[Item] = []
    for kind in SUBCLASSES:
        found += scenarios(taxonomy, kind, "test", each, rng, tags=tags)
    return found


def candidates(taxonomy: Taxonomy, count: int, rng: np.random.Generator) -> list[tuple[Item, str]]:
    """About `count` questions on validation tags, each with one right and three wrong answers: what a critic reads.

    Wrong answers: the public spelling or the tag in the phrase, a refusal where one is out of place, and the answer to
    another question of the same kind. Validation sentences and tags only. Chapter 01, "Pushing further".
    """
    items = drawn(taxonomy, PRACTICE, "validation", count, rng)
    by_kind: dict[str, list[Item]] = {}
    for item in items:
        by_kind.setdefault(item.kind, []).append(item)
    shown = []
    for item in items:
        peers = [peer.answer for peer in by_kind[item.kind] if peer.answer != item.answer]
        other = peers[int(rng.integers(len(peers)))] if peers else item.tag
        drifted = item.verbose or item.tag
        trap = item.tag if item.kind == "unknown" else REFUSAL
        shown += [(item, text) for text in (item.answer, other, drifted, trap) if text]
    return shown
