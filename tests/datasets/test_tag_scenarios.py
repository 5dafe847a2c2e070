"""The questions: right by the reward, disjoint between splits, and readable by a small tokenizer."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from lib.datasets import registry
from lib.datasets.building_points import building_points
from lib.datasets.tag_scenarios import (
    KINDS,
    PUBLIC_TEMPLATES,
    SUBCLASSES,
    TEMPLATES,
    misspell,
    misspell_words,
    scenarios,
    verbose_corpus,
)
from lib.datasets.taxonomy import taxonomy
from lib.errors import BookError
from lib.rewards import score
from lib.rewards.tags import distance, tags_in, verbose

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def table():
    return taxonomy()


def draw(table, kind, split="train", count=60, seed=0, **options):
    return scenarios(table, kind, split, count, np.random.default_rng(seed), **options)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_is_right_and_drift_is_wrong(table, kind, split):
    names = table.names
    for item in draw(table, kind, split):
        assert item.kind == kind
        assert item.split == split
        assert item.prompt.endswith("\n")
        assert item.prompt == item.prompt.lstrip()
        assert score(item, item.answer, names).right
        assert set(score(item, item.answer, names).parts) >= {"format", "concision"}
        assert not score(item, item.verbose or "Supply_Air", names).right
        assert bool(item.verbose) == (kind not in {"direct", "context"})


@pytest.mark.parametrize("kind", KINDS)
def test_splits_share_no_sentence_and_no_tag(table, kind):
    forms = [(kind, subclass) for subclass in SUBCLASSES[kind]]
    for form in forms:
        sentences = [set(TEMPLATES[form][split]) for split in SPLITS]
        assert sum(map(len, sentences)) == len(set.union(*sentences))
    asked = [{item.tag for item in draw(table, kind, split, 150) if item.tag} for split in SPLITS]
    for place, split in enumerate(SPLITS):
        assert asked[place] <= {row.tag for row in table.of(split)}
        assert not any(asked[place] & asked[other] for other in range(place))


def test_known_tags_can_be_asked_in_new_sentences(table):
    for item in draw(table, "reverse", "test", tags="train"):
        assert table.by_tag[item.tag].split == "train"
        assert item.split == "test"


def test_every_word_of_a_later_sentence_is_in_a_training_sentence():
    known = {word for form in TEMPLATES.values() for text in form["train"] for word in text.split()}
    known |= {word for text in PUBLIC_TEMPLATES for word in text.split()}
    later = {
        word for form in TEMPLATES.values() for split in SPLITS[1:] for text in form[split] for word in text.split()
    }
    assert later <= known


def test_prompts_are_short_and_made_of_few_words(table):
    items = [item for kind in KINDS for split in SPLITS for item in draw(table, kind, split, 200)]
    assert max(len(item.prompt.split()) for item in items) <= 24
    assert max(len(item.answer.split()) for item in items) <= 12
    plain = [item for item in items if item.kind != "typo"]
    lower = {word for item in plain for word in f"{item.prompt} {item.answer}".split() if word.islower()}
    assert len(lower) <= 900


def test_a_cueless_question_has_no_cue_and_an_overlap_one_sounds_public(table):
    for item in draw(table, "reverse", subclass="cueless"):
        assert "tag" not in item.prompt.split()
    public = {word for text in PUBLIC_TEMPLATES for word in text.split()}
    for item in draw(table, "reverse", "test", subclass="overlap"):
        assert {"bacnet", "object"} & public & set(item.prompt.split())


def test_an_unknown_asks_for_unlisted_equipment_and_holds_the_trap(table):
    trapped = 0
    for item in draw(table, "unknown", "test", 200):
        assert any(f" {text}" in f" {item.prompt}" for text in table.unlisted["test"])
        if item.tag:
            trapped += 1
            assert table.by_tag[item.tag].description in item.prompt
            assert score(item, item.tag, table.names).outcome == "trap"
    assert trapped > 100


def test_a_typo_is_one_slip_that_leaves_the_question_open_to_no_other_tag(table):
    for item in draw(table, "typo", subclass="tag", count=200):
        given = next(word for word in item.prompt.split() if word.isupper())
        assert given not in table.names
        assert distance(given, item.tag) == 1
        assert table.by_tag[item.tag].description in item.prompt
    said = {word for row in table.tags for word in row.description.split()}
    for item in draw(table, "typo", subclass="word", count=200):
        assert table.by_tag[item.tag].description not in " ".join(word for word in item.prompt.split() if word in said)
        assert not tags_in(item.prompt, table.names)


def test_a_choice_offers_the_right_tag_once_among_three(table):
    places = set()
    for item in draw(table, "choice", count=200):
        assert len(set(item.options)) == 3
        assert item.options.count(item.tag) == 1
        assert all(option in item.prompt.split() for option in item.options)
        places.add(item.options.index(item.tag))
    assert places == {0, 1, 2}


@pytest.mark.parametrize("split", SPLITS)
def test_a_constant_answer_to_context_is_right_half_of_the_time(table, split):
    rows = len(table.of(split))
    items = draw(table, "context", split, 2 * rows)
    shown = {item.tag: item.answer.split()[-1] for item in items}
    physical = sum(side == "physical" for side in shown.values())
    assert physical * 2 == len(shown)
    assert abs(sum(item.answer.endswith("physical") for item in items) / len(items) - 0.5) < 0.1


def test_draws_repeat_with_the_seed_and_take_turns(table):
    assert draw(table, "reverse") == draw(table, "reverse")
    assert draw(table, "reverse") != draw(table, "reverse", seed=1)
    forms = [item.subclass for item in draw(table, "reverse", count=60)]
    assert [forms.count(form) for form in SUBCLASSES["reverse"]] == [20, 20, 20]
    train = table.of("train")
    assert {item.tag for item in draw(table, "direct", count=len(train))} == {row.tag for row in train}


def test_the_first_phase_never_shows_a_tag_of_ours(table):
    lines = verbose_corpus(table, 1500, np.random.default_rng(0))
    assert len(lines) == 1500
    for line in lines:
        assert not tags_in(line.prompt + line.answer, table.names)
        assert line.prompt.endswith("\n")
    assert sum(verbose(line.answer) for line in lines) > 1000
    assert sum(" " in line.answer for line in lines) > 100  # the way back
    plain = verbose_corpus(table, 200, np.random.default_rng(0), typo_share=0.0)
    said = {word for name in table.public for word in re.split("[_-]", name.lower())}
    said |= {word for text in PUBLIC_TEMPLATES for word in text.split()} | {"does", "name", "?", "what"}
    assert all(set(line.prompt.split()) <= said for line in plain if " " not in line.answer and line.answer.count("_"))


def test_a_slip_is_one_edit_and_never_nothing():
    rng = np.random.default_rng(0)
    for word in ("DAT", "A", "AA", "temperature", "zz", "CO2"):
        for _ in range(50):
            assert distance(word, misspell(word, rng)) == 1
    for text in ("zone air temperature sensor", "on off", "co"):
        assert distance(text, misspell_words(text, rng)) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [({"kind": "poem"}, "poem"), ({"split": "dev"}, "dev"), ({"count": 0}, "0 questions"),
     ({"options": {"subclass": "loud"}}, "loud"), ({"options": {"tags": "all"}}, "all")],
)  # fmt: skip
def test_what_does_not_exist_is_named(table, change, said):
    options = change.get("options", {})
    with pytest.raises(BookError, match=said):
        draw(table, change.get("kind", "reverse"), change.get("split", "train"), change.get("count", 1), **options)


@pytest.fixture
def buildings(tmp_path, monkeypatch):
    """Three rows in the form of the public files."""
    (tmp_path / "ghc.csv").write_text(
        'bas_raw,point_type,haystack\n"a/Zone Temp","Zone Temp _ Zone Temp",x\n"a/b","ra enthalpy",x\n"c","thing",x\n'
    )
    labels = {"0": ["zone_temperature_sensor", "floor"], "1": ["return_air_enthalpy_sensor"], "2": ["ahu"]}
    (tmp_path / "ghc_tagsets.json").write_text(json.dumps(labels))
    (tmp_path / "SDH-GROUND-TRUTH").write_text("SDH.S1-20:CTL STPT \nparts\nSDH.AH2A.SAT\nparts\n")
    found = {
        "SDH_S1_20_CTL_STPT": ["room_temperature_setpoint"],
        "SDH_AH2A_SAT": ["supply_air_temperature_sensor", "ahu"],
    }
    (tmp_path / "sdh_tagsets.json").write_text(json.dumps(found))
    monkeypatch.setattr(registry, "fetch", lambda name: tmp_path / "ghc.csv" if name == "ghc_points" else tmp_path)


def test_real_point_names_become_questions(table, buildings, monkeypatch):
    items, counts = building_points(table, "ghc")
    assert {item.prompt[20:-3]: item.tag for item in items} == {"zone temp": "ZN_T", "ra enthalpy": "RAENT"}
    assert counts == {"labelled": 3, "matched": 2, "names": 2}
    items, counts = building_points(table, "sdh")
    assert {item.prompt[20:-3]: item.tag for item in items} == {"ctl stpt": "RM_TS", "sat": "SAT"}
    assert all(score(item, item.answer, table.names).right for item in items)
    with pytest.raises(BookError, match="moon"):
        building_points(table, "moon")
