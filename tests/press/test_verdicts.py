"""Every verdict can be reached, and only by computing it."""

import pytest

from lib.errors import BookError
from lib.press import claims, verdicts
from lib.press.expressions import FUNCTIONS, evaluate, truth
from tests.press.conftest import edit

RULES = [
    # kind, setting, value, expected
    ("arithmetic", "post", 42, "holds"),
    ("arithmetic", "pocket", 42, "holds"),
    ("arithmetic", "post", 43, "holds in direction"),
    ("reasoning", "simulated", 1, "fails"),
    ("magnitude", "post", 42, "holds"),
    ("magnitude", "real", 50, "holds in direction"),
    ("magnitude", "real", 1, "fails"),
    ("magnitude", "pocket", 42, "not comparable here"),
    ("magnitude", "composed", 1, "not comparable here"),
    ("direction", "pocket", 42, "holds in direction"),
    ("direction", "pocket", 50, "holds in direction"),
    ("direction", "pocket", 1, "not comparable here"),
    ("direction", "post", 1, "fails"),
]


def _claim(**fields):
    row = {"id": "a.b", "claim": "c", "source": "s", "kind": "magnitude", "key": "k", "reported": 42}
    return claims.Claim(**row | {"exact": "value == reported", "direction": "value > 40"} | fields)


@pytest.mark.parametrize(("kind", "setting", "value", "expected"), RULES)
def test_rule(kind, setting, value, expected):
    assert verdicts.judge(_claim(kind=kind), value, setting) == expected


def test_undecidable_is_computed_too():
    claim = _claim(undecidable="min(value) < 0.05 and max(value) > 0.05", missing="n")
    assert verdicts.judge(claim, [0.01, 0.2], "post") == "undecidable as reported"
    with pytest.raises(BookError, match="fails on the value"):
        verdicts.judge(claim, 3, "post")


def test_full_decides_before_teach_and_waits_without_a_value(tiny):
    from lib.press import results

    results.save(tiny.results("teach"), {"values": {"mean": {"value": 3.0, "setting": "simulated"}}, "series": {}})
    outcome = {v.id: v for v in verdicts.chapter_verdicts(tiny)}
    assert outcome["tiny.mean"].verdict == "fails"
    assert outcome["tiny.large"].verdict == "waits for a full run"
    values = {"mean": {"value": 0.1, "setting": "simulated"}, "large": {"value": 8, "setting": "post"}}
    results.save(tiny.results("full"), {"values": values, "series": {}, "digest_parts": {"gone": "x"}})
    outcome = {v.id: v for v in verdicts.chapter_verdicts(tiny)}
    assert (outcome["tiny.mean"].verdict, outcome["tiny.mean"].profile) == ("holds", "full")
    assert outcome["tiny.large"].verdict == "fails"
    assert outcome["tiny.mean"].stale


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("value == reported", True),
        ("abs(value - reported) < 1 and value > 0", True),
        ("all([1, 2, 3] > 0)", True),
        ("any([1, 2] > [3, 1])", True),
        ("close({'a': 1.0, 'b': 2.0}, {'a': 1.05}, 0.1)", None),
        ("0 < value < 50", True),
        ("not value < 3", True),
        ("42 in [value]", True),
        ("max([1, value]) - 2 ** 2 == 38", True),
    ],
)
def test_expression(text, expected):
    if expected is None:
        with pytest.raises(BookError):
            truth(text, {"value": 42, "reported": 42})
    else:
        assert truth(text, {"value": 42, "reported": 42}) is expected


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "value.__class__",
        "[x for x in value]",
        "(lambda: 1)()",
        "open('x')",
        "value if value else 1",
        "f'{value}'",
        "other > 1",
        "value >",
        "all([])",
        "value",
        "round(value, ndigits=2)",
    ],
)
def test_nothing_else_is_evaluated(text):
    with pytest.raises(BookError) as caught:
        truth(text, {"value": 42, "reported": 42})
    assert "\n" not in str(caught.value)


def test_mappings_and_gaps():
    names = {"value": {"a": 1.0, "b": 2.2}, "reported": {"a": 1.0, "b": None}}
    assert evaluate("close(value, reported, 0.01)", names)
    assert evaluate("same_order(value, reported)", names)
    assert not evaluate("close(value, reported, 0.01)", names | {"reported": {"a": 1.0, "b": 2.0}})
    assert evaluate("all(values(value) > 0.5)", names)
    assert set(FUNCTIONS) >= {"close", "same_order", "same_sign"}


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("kind: arithmetic", "kind: guess", "kind 'guess'"),
        ("key: twice", "kei: twice", "kei"),
        ("  exact: abs(value) < 0.5\n", "", "no expression"),
        ("  exact: abs(value) < 0.5\n", "  verdict: holds\n  exact: abs(value) < 0.5\n", "verdict"),
        ("id: tiny.twice", "id: tiny.mean", "appears twice"),
        ("  key: large", "  missing: n\n  key: large", "go together"),
    ],
)
def test_a_wrong_row_is_refused_by_name(tiny, old, new, named):
    edit(tiny.claims, old, new)
    with pytest.raises(BookError, match=r"data/claims/01\.yml") as caught:
        claims.read(tiny)
    assert named in str(caught.value)


def test_ours_in_few_digits_the_post_digit_for_digit():
    value = {"a": 2.4445, "b": [1, 1234567, None], "c": 12345.6}
    assert verdicts.short(value) == "a 2.44; b [1, 1,234,567, none]; c 12,346"
    assert verdicts.verbatim(value) == "a 2.4445; b [1, 1,234,567, none]; c 12345.6"
    assert verdicts.short(list(range(20))) == "[0, 1, 2, 3, ..., 18, 19]"
