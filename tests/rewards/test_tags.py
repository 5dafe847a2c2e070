"""Every rule of the reward, on answers that try to cheat it."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import BookError
from lib.rewards import Bands, recover, score
from lib.rewards.tags import OUTCOMES, SCENARIOS, distance, hedges, refuses, tags_in, verbose

KNOWN = frozenset({"SPS", "SPDS", "DAT", "ZN_T", "RHC", "AT", "IT", "CO2", "OAT", "SAT"})
BANDS = Bands()


@dataclasses.dataclass(frozen=True)
class Asked:
    kind: str
    tag: str = "SPS"
    answers: tuple[str, ...] = ("SPS",)
    keywords: tuple[str, ...] = ()


REVERSE = Asked("reverse")
CHOICE = Asked("choice")
TYPO = Asked("typo")
UNKNOWN = Asked("unknown", tag="DAT", answers=("not in the table",))
DIRECT = Asked("direct", answers=("supply air static pressure setpoint",))
CONTEXT = Asked("context", answers=("setpoint , chosen , virtual",), keywords=("setpoint", "chosen"))
EVERY = (REVERSE, CHOICE, TYPO, UNKNOWN, DIRECT, CONTEXT)
VERBOSE = "SupplyAirStaticPressureSetpoint"


def band(item, text, bands=BANDS):
    return score(item, text, KNOWN, bands).parts[item.kind]


def outcome(item, text, bands=BANDS):
    return score(item, text, KNOWN, bands).outcome


def test_the_defaults_are_the_bands_of_the_post():
    stated = {
        "reverse_right": 1.0, "reverse_wrong": -0.8, "direct_right": 0.7, "direct_partial": 0.3, "direct_wrong": -0.5,
        "context_right": 0.6, "context_wrong": -0.4, "unknown_right": 1.0, "unknown_trap": -1.0, "typo_right": 1.2,
        "typo_wrong": -0.5, "hedging": -0.2, "format": 0.1, "concision": 0.1,
    }  # fmt: skip
    assert {name: getattr(BANDS, name) for name in stated} == stated


@pytest.mark.parametrize("item", [REVERSE, CHOICE], ids=["reverse", "choice"])
@pytest.mark.parametrize(
    ("text", "right", "said"),
    [
        ("SPS", True, "right"),
        ("  SPS\n", True, "right"),
        ("The tag is SPS.", True, "right"),
        ("**SPS**", True, "right"),
        ("SPS, SPS and again SPS", True, "right"),
        ("SPS or DAT", False, "other_tag"),
        ("DAT SPS", False, "other_tag"),
        ("DAT", False, "other_tag"),
        ("sps", False, "wrong"),
        ("SPSX", False, "wrong"),
        ("SPS_1", False, "wrong"),
        ("S P S", False, "wrong"),
        ("ＳＰＳ", False, "wrong"),
        ("ЅРЅ", False, "wrong"),  # Cyrillic letters that look alike
        (VERBOSE, False, "verbose"),
        ("Supply_Air_Static_Pressure_Setpoint", False, "verbose"),
        ("Supply-Air-Static-Pressure", False, "verbose"),
        ("not in the table", False, "refused"),
        ("SPS is not in the table", False, "refused"),
        ("", False, "empty"),
        (" \n\t", False, "empty"),
        ("🙂🙂🙂", False, "wrong"),
        ("供应空气静压设定点", False, "wrong"),
        ("word " * 20_000, False, "wrong"),
    ],
)
def test_a_reverse_lookup_wants_the_right_tag_and_no_other(item, text, right, said):
    assert outcome(item, text) == said
    assert band(item, text) == (1.0 if right else -0.8)


@pytest.mark.parametrize(
    ("text", "worth", "said"),
    [
        ("supply air static pressure setpoint", 0.7, "right"),
        ("SPS is the supply air static pressure setpoint", 0.7, "right"),
        ("Supply Air Static Pressure Setpoint.", 0.7, "right"),
        ("setpoint pressure static air supply", 0.7, "right"),
        ("supply air pressure", 0.3, "partial"),
        ("supply air static pressure sensor", 0.3, "partial"),
        ("supply air", -0.5, "wrong"),
        ("discharge damper", -0.5, "wrong"),
        ("supply air static pressure setpoint , not in the table", -0.5, "refused"),
        ("supply air static pressure setpoint sensor command status alarm", 0.3, "partial"),
        ("", -0.5, "empty"),
    ],
)
def test_a_direct_lookup_counts_words(text, worth, said):
    assert (band(DIRECT, text), outcome(DIRECT, text)) == (worth, said)


@pytest.mark.parametrize(
    ("text", "worth"),
    [
        ("virtual", 0.6),
        ("It is virtual.", 0.6),
        ("setpoint , chosen , virtual", 0.8),
        ("chosen setpoint", -0.4),
        ("physical", -0.4),
        ("physical or virtual", -0.4),
        ("not virtual but physical", -0.4),
        ("virtually", -0.4),
        ("", -0.4),
    ],
)
def test_a_context_question_wants_one_side_and_pays_for_the_reason(text, worth):
    assert band(CONTEXT, text) == pytest.approx(worth)


@pytest.mark.parametrize(
    ("text", "worth", "said"),
    [
        ("not in the table", 1.0, "right"),
        ("I don’t know this equipment", 1.0, "right"),
        ("UNKNOWN", 1.0, "right"),
        ("DAT", -1.0, "trap"),
        ("not in the table, perhaps DAT", -1.0, "trap"),
        ("OAT", -1.0, "trap"),
        ("ElevatorDischargeAirTemperature", -0.5, "verbose"),
        ("XQZ", -0.5, "wrong"),
        ("", -0.5, "empty"),
    ],
)
def test_an_unknown_wants_a_refusal_that_names_no_tag(text, worth, said):
    assert (band(UNKNOWN, text), outcome(UNKNOWN, text)) == (worth, said)


def test_without_the_trap_a_real_tag_is_worth_what_any_wrong_answer_is():
    plain = BANDS.without_trap()
    assert band(UNKNOWN, "DAT", plain) == band(UNKNOWN, "XQZ", plain) == BANDS.unknown_wrong
    assert outcome(UNKNOWN, "DAT", plain) == "trap"  # what was said does not depend on its price


@pytest.mark.parametrize(
    ("text", "edits", "worth"),
    [
        ("SPS", 0, 1.2),
        ("You mean SPS", 0, 1.2),
        ("SSPS", 0, -0.5),
        ("SSPS", 1, 1.2),
        ("SPPS", 1, -0.5),  # SPDS is as near
        ("ZZSPS", 1, -0.5),
        ("DAT", 1, -0.5),
        ("AAT", 1, -0.5),  # three tags are one edit away
        ("not in the table", 1, -0.5),
        ("SPS, or not in the table", 0, -0.5),
        ("", 1, -0.5),
    ],
)
def test_a_typo_is_recovered_within_the_stated_bound(text, edits, worth):
    assert band(TYPO, text, Bands(typo_edits=edits)) == worth


@pytest.mark.parametrize("item", EVERY, ids=lambda item: item.kind)
def test_hedging_costs_except_where_nothing_can_be_known(item):
    plain, hedged = item.answers[0], f"maybe {item.answers[0]}"
    parts = score(item, hedged, KNOWN).parts
    assert ("hedging" in parts) == (item.kind != "unknown")
    assert "hedging" not in score(item, plain, KNOWN).parts


def test_a_hedged_truth_still_beats_a_confident_error():
    """The post says that hedging is worse than being wrong; its own bands say otherwise."""
    for item in (REVERSE, TYPO, CONTEXT):
        assert score(item, f"perhaps {item.answers[0]}", KNOWN).total > score(item, "DAT", KNOWN).total


def test_the_small_bonuses_go_to_right_answers_in_form():
    assert score(REVERSE, "SPS", KNOWN).parts == {"reverse": 1.0, "format": 0.1, "concision": 0.1}
    assert "format" not in score(REVERSE, "The tag is SPS", KNOWN).parts
    assert "format" not in score(REVERSE, "`SPS`", KNOWN).parts
    assert (
        "concision" not in score(REVERSE, "the tag that we would use here for it is of course the tag SPS", KNOWN).parts
    )
    assert score(REVERSE, "", KNOWN).parts == {"reverse": -0.8}


def test_bonuses_for_wrong_answers_open_the_way_to_a_hack():
    """With them the empty answer beats a long wrong one: what a policy that never finds a tag would learn."""
    paid = Bands(modifiers_when_wrong=True)
    assert score(REVERSE, "", KNOWN, paid).total > score(REVERSE, "word " * 30, KNOWN, paid).total
    assert score(REVERSE, "", KNOWN).total == score(REVERSE, "word " * 30, KNOWN).total


def test_a_band_moves_its_own_scenario_and_no_other():
    texts = ["SPS", "DAT", VERBOSE, "not in the table", "", "maybe SPS", "virtual", DIRECT.answers[0]]
    before = [score(item, text, KNOWN).total for item in EVERY for text in texts]
    after = [score(item, text, KNOWN, Bands(unknown_trap=-3.0)).total for item in EVERY for text in texts]
    moved = {(item.kind, text) for (item, text), a, b in zip(
        [(item, text) for item in EVERY for text in texts], before, after, strict=True) if a != b}  # fmt: skip
    assert moved == {("unknown", "SPS"), ("unknown", "DAT"), ("unknown", "maybe SPS")}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(EVERY), st.text(max_size=60))
def test_any_text_gets_a_finite_reward_that_its_parts_explain(item, text):
    found = score(item, text, KNOWN)
    assert math.isfinite(found.total)
    assert found.total == pytest.approx(sum(found.parts.values()))
    assert found.outcome in OUTCOMES
    assert found.right == (found.outcome == "right")
    assert -1.2 <= found.total <= 1.4


@settings(max_examples=200, deadline=None)
@given(st.text("ABCD", max_size=7), st.text("ABCD", max_size=7), st.text("ABCD", max_size=7))
def test_the_distance_is_symmetric_and_zero_only_for_equals(a, b, c):
    assert distance(a, b) == distance(b, a)
    assert (distance(a, b) == 0) == (a == b)
    assert distance(a + c, b + c) <= distance(a, b)
    assert abs(len(a) - len(b)) <= distance(a, b) <= max(len(a), len(b))
    assert distance(a, b, bound=1) == min(distance(a, b), 2)


@pytest.mark.parametrize(
    ("left", "right", "edits"),
    [
        ("DAT", "DTA", 1),
        ("DAT", "DAAT", 1),
        ("DAT", "DT", 1),
        ("DAT", "DXT", 1),
        ("DAT", "", 3),
        ("kitten", "sitting", 3),
    ],
)
def test_known_distances(left, right, edits):
    assert distance(left, right) == edits


def test_recovery_refuses_a_tie_and_anything_beyond_the_bound():
    assert recover("SSPS", KNOWN) == "SPS"
    assert recover("SPS", KNOWN) == "SPS"
    assert recover("AAT", KNOWN) is None  # AT, OAT and SAT
    assert recover("QQQQ", KNOWN, 2) is None
    assert recover("SSPS", KNOWN, 0) is None
    with pytest.raises(BookError, match="-1"):
        recover("SPS", KNOWN, -1)


def test_tags_are_found_as_whole_words_with_their_capitals():
    assert tags_in("use ZN_T, then (DAT) and DAT-1 or IT", KNOWN) == ["ZN_T", "DAT", "IT"]
    assert tags_in("it is at the sat", KNOWN) == []


def test_helpers_read_marks_and_apostrophes():
    assert refuses("It's NOT in the table!")
    assert hedges("I think: SPS")
    assert not hedges("thinking maybes")
    assert all(map(verbose, ["ZoneAirTemperature", "Zone_Air_Temperature_Sensor", "the Zone-Air sensor"]))
    assert not any(map(verbose, ["ZN_T", "Zone air temperature", "CO2", ""]))


def test_what_cannot_be_scored_is_refused_by_name():
    with pytest.raises(BookError, match="poem"):
        score(Asked("poem"), "SPS", KNOWN)
    with pytest.raises(BookError, match="trap"):
        Bands(unknown_trap=math.nan)
    with pytest.raises(BookError, match="reverse_right"):
        Bands(reverse_right="1")
    with pytest.raises(BookError, match="partial_share"):
        Bands(partial_share=0)
    assert set(SCENARIOS) == {"reverse", "direct", "context", "unknown", "typo", "choice"}
