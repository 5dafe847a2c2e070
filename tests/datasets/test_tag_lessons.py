"""What each stage is shown: the shares that were asked for, training material only, and pairs with a point."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from lib.datasets import tag_lessons as lessons
from lib.datasets.tag_scenarios import KINDS, REFUSAL, TEMPLATES
from lib.datasets.taxonomy import taxonomy
from lib.errors import BookError
from lib.rewards import score
from lib.rewards.tags import hedges, tags_in, verbose


@pytest.fixture(scope="module")
def table():
    return taxonomy()


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("shares", [lessons.IMITATION, lessons.PRACTICE], ids=["imitation", "practice"])
def test_the_forms_come_in_their_shares(table, shares):
    items = lessons.drawn(table, shares, "train", 2000, rng())
    whole = sum(shares.values())
    found = Counter((item.kind, item.subclass) for item in items)
    assert found.keys() == shares.keys()
    for form, share in shares.items():
        assert found[form] == pytest.approx(2000 * share / whole, abs=1)
    assert {item.split for item in items} == {"train"}
    assert {item.tag for item in items if item.tag} <= {row.tag for row in table.of("train")}


def test_even_a_tiny_lesson_has_every_form(table):
    assert len(lessons.drawn(table, lessons.PRACTICE, "train", 1, rng())) == len(lessons.PRACTICE)
    with pytest.raises(BookError, match="0 questions"):
        lessons.drawn(table, lessons.PRACTICE, "train", 0, rng())


def test_imitation_never_shows_a_tag_without_the_cue(table):
    pairs = lessons.imitation(table, 3000, rng(), replay=0.0, hedged=0.0)
    bare = [text.split("{d}")[0] for text in TEMPLATES["reverse", "overlap"]["train"] if not text.startswith("{d}")]
    bare += [text for text in TEMPLATES["reverse", "cueless"]["train"] if "written as" in text]
    shown = [prompt for prompt, answer in pairs if answer in table.names]
    assert len(shown) > 1000
    assert not any(prompt.startswith(start) for prompt in shown for start in bare)
    assert not any(verbose(answer) for _, answer in pairs)


def test_replay_and_hedging_come_in_their_shares(table):
    pairs = lessons.imitation(table, 4000, rng(), replay=0.1, hedged=0.5)
    assert sum(verbose(answer) for _, answer in pairs) == pytest.approx(
        400 * 0.82, rel=0.15
    )  # the rest is the way back
    hedged = [answer for _, answer in pairs if hedges(answer)]
    typos = 4000 * 0.9 * 0.14 / sum(lessons.IMITATION.values())
    assert len(hedged) == pytest.approx(0.5 * typos, rel=0.2)
    assert all(len(tags_in(answer, table.names)) == 1 for answer in hedged)
    for wrong in ({"replay": 1.0}, {"hedged": -0.1}):
        with pytest.raises(BookError, match=next(iter(wrong))):
            lessons.imitation(table, 10, rng(), **wrong)


def test_a_chosen_answer_is_right_and_a_rejected_one_is_what_drift_says(table):
    triples = lessons.preferences(table, 600, rng())
    refusals = [triple for triple in triples if triple[1] == REFUSAL]
    assert refusals
    for prompt, chosen, rejected in triples:
        assert prompt.endswith("\n")
        assert chosen != rejected
        assert rejected
        assert chosen == REFUSAL or chosen in table.names
        assert rejected not in table.names or chosen == REFUSAL
    assert any(rejected in table.names for _, _, rejected in refusals)  # the trap


@pytest.mark.parametrize("weight", [1.0, 3.0, 6.0])
def test_the_reverse_weight_is_a_ratio(table, weight):
    triples = lessons.preferences(table, 2000, rng(), reverse_weight=weight)
    forms = {text.split("{d}")[0] for form in ("cueless", "overlap") for text in TEMPLATES["reverse", form]["train"]}
    assert forms
    unknown = sum(chosen == REFUSAL for _, chosen, _ in triples)
    assert unknown / len(triples) == pytest.approx(1 / (2 + weight), abs=0.01)
    with pytest.raises(BookError, match="reverse_weight=0"):
        lessons.preferences(table, 10, rng(), reverse_weight=0)


def test_a_flawed_reason_parts_at_one_step(table):
    triples = lessons.flawed_reasons(table, 300, rng())
    starts = Counter()
    for prompt, good, bad in triples:
        question, _, before = prompt.partition("\n")
        whole = f"{before}{good}".split()
        other = f"{before}{bad}".split()
        place = next(index for index, (a, b) in enumerate(zip(whole, other, strict=True)) if a != b)
        assert whole[:place] == other[:place]
        assert before.split() == whole[: len(before.split())]
        assert place == len(before.split())
        starts[place] += 1
        assert "virtual" in question
    assert starts.keys() == {0, 4}


def test_the_exam_asks_every_scenario_alike_in_new_sentences(table):
    known = lessons.exam(table, 12, rng(), tags="train")
    held = lessons.exam(table, 12, rng())
    for items in (known, held):
        assert Counter(item.kind for item in items) == dict.fromkeys(KINDS, 12)
        assert {item.split for item in items} == {"test"}
        assert all(score(item, item.answer, table.names).right for item in items)
    train = {row.tag for row in table.of("train")}
    assert all(item.tag in train for item in known if item.tag)
    assert not any(item.tag in train for item in held)


def test_lessons_repeat_with_the_seed(table):
    for lesson in (lessons.imitation, lessons.practice, lessons.preferences, lessons.flawed_reasons):
        assert lesson(table, 40, rng(1)) == lesson(table, 40, rng(1))
        assert lesson(table, 40, rng(1)) != lesson(table, 40, rng(2))
