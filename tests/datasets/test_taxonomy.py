"""The tag table: collision-free, reversible, short, and learnable from its training rows."""

from __future__ import annotations

from collections import Counter

import pytest

from lib.datasets import taxonomy as module
from lib.datasets.taxonomy import CODES, LONGEST, ROLES, describe, encode, spellings, taxonomy, words
from lib.errors import BookError


@pytest.fixture(scope="module")
def table():
    return taxonomy()


def test_there_are_at_least_three_hundred_short_tags(table):
    assert len(table.tags) >= 300
    assert all(2 <= len(row.tag) <= LONGEST for row in table.tags)
    assert all(set(row.tag) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") for row in table.tags)
    assert sum(row.equipment for row in table.tags) >= 50


def test_a_tag_has_one_class_and_a_class_one_tag(table):
    for field in ("tag", "name", "description"):
        assert len({getattr(row, field) for row in table.tags}) == len(table.tags), field


def test_the_way_back_is_the_way_there(table):
    for row in table.tags:
        assert "".join(encode(row.name)).strip("_") == row.tag
        assert table.by_tag[row.tag] is row
        assert table.by_tag["".join(row.pieces).strip("_")].description == describe(row.name)


def test_the_examples_of_the_post_are_in_its_spirit(table):
    assert table.by_tag["SPS"].name == "Supply_Air_Static_Pressure_Setpoint"
    assert table.by_tag["DAT"].name == "Discharge_Air_Temperature_Sensor"
    assert table.by_tag["SPS"].verbose[1] == "SupplyAirStaticPressureSetpoint"
    assert table.by_tag["ZN_T"].description == "zone air temperature sensor"


def test_no_tag_is_a_public_name(table):
    public = {spelling.lower() for name in table.public for spelling in spellings(name)}
    assert not {row.tag.lower() for row in table.tags} & public


def test_among_classes_that_share_a_tag_the_shortest_keeps_it(table):
    shared: dict[str, list[str]] = {}
    for name in table.public:
        codes = encode(name)
        if codes:
            shared.setdefault("".join(codes).strip("_"), []).append(name)
    rivals = {tag: names for tag, names in shared.items() if len(names) > 1 and tag in table.by_tag}
    assert rivals  # the rule has something to decide
    for tag, names in rivals.items():
        assert table.by_tag[tag].name == min(names, key=lambda name: (len(words(name)), name))


def test_splits_are_disjoint_and_the_rule_can_be_learned_from_training(table):
    assert Counter(row.split for row in table.tags).keys() == {"train", "validation", "test"}
    used = Counter(code for row in table.of("train") for code in set(row.pieces))
    said = {word for row in table.of("train") for word in row.description.split()}
    held = [row for row in table.tags if row.split != "train"]
    assert len(held) > 100
    assert all(used[code] >= 2 for row in held for code in row.pieces)
    assert {word for row in held for word in row.description.split()} <= said
    assert sum(map(len, (table.of("train"), table.of("validation"), table.of("test")))) == len(table.of())


def test_unlisted_equipment_shares_no_word_with_the_table_or_between_splits(table):
    listed = {word for row in table.tags for word in row.description.split()}
    seen = {split: {word for text in texts for word in text.split()} for split, texts in table.unlisted.items()}
    assert all(len(texts) >= 5 for texts in table.unlisted.values())
    for split, found in seen.items():
        assert not found & listed
        assert not any(found & others for other, others in seen.items() if other != split)


def test_roles_follow_the_last_word(table):
    for row in table.tags:
        assert row.role in ROLES
        assert row.virtual == ROLES[row.role][1]
        if not row.equipment and words(row.name)[-1] in {
            "Setpoint",
            "Command",
            "Status",
            "Alarm",
            "Limit",
            "Parameter",
        }:
            assert row.role == words(row.name)[-1].lower()


def test_codes_are_capitals_and_the_longest_phrase_wins():
    assert all(set(code) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") for code in CODES.values())
    assert encode("Supply_Air_Static_Pressure_Setpoint") == ("S", "P", "S")
    assert encode("Static_Pressure_Setpoint") == ("P", "S")
    assert encode("Discharge_Air_Temperature_Sensor") == ("D", "A", "T")
    assert encode("Elevator") is None
    assert encode("Sensor") == ()


def test_a_missing_ontology_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(module.registry, "fetch", lambda name: tmp_path)
    module._classes.cache_clear()
    try:
        with pytest.raises(BookError, match=r"brickschema 0\.8\.0"):
            module._classes()
    finally:
        module._classes.cache_clear()
