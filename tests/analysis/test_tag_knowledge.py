"""Knowledge and preference told apart: on models whose probabilities are known, and on a small untrained one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from lib.analysis import tag_knowledge
from lib.analysis.tag_knowledge import Known, known, rivals
from lib.errors import BookError
from lib.models import tag_decoder

TAGS = ["SPS", "SPX", "SPSL", "DAT", "DATS", "OAT", "CHWPMP"]


@dataclass(frozen=True)
class Lookup:
    prompt: str
    tag: str
    verbose: str


LOOKUPS = [
    Lookup("name supply air static pressure setpoint\n", "SPS", "SupplyAirStaticPressureSetpoint"),
    Lookup("name discharge air temperature sensor\n", "DAT", "DischargeAirTemperatureSensor"),
]


def answering(monkeypatch, price):
    """A model of which only the log-probabilities are known: price(prompt, completion)."""
    monkeypatch.setattr(
        tag_knowledge,
        "log_probabilities",
        lambda model, tokenizer, prompts, completions: np.array(list(map(price, prompts, completions)), dtype=float),
    )


def ask(count=3):
    return known(None, None, LOOKUPS, TAGS, np.random.default_rng(0), count=count)


def test_a_model_that_knows_and_prefers_the_public_name(monkeypatch):
    """What the post describes: the tag is there, and the model would rather say something else."""
    right = {item.prompt: item.tag for item in LOOKUPS}
    answering(monkeypatch, lambda p, c: -1.0 if c not in TAGS else -3.0 if c == right[p] else -9.0)
    found = ask()
    assert (found.preference, found.knowledge) == (0.0, 1.0)
    assert found.margin == pytest.approx(-2.0)


def test_a_model_that_prefers_tags_and_knows_none(monkeypatch):
    answering(monkeypatch, lambda p, c: -3.0 if c in TAGS else -9.0)
    found = ask()
    assert (found.preference, found.knowledge) == (1.0, 0.0)  # a tie is not knowledge
    assert found.margin == pytest.approx(6.0)


def test_each_lookup_meets_its_own_tag_and_rivals(monkeypatch):
    seen = []
    answering(monkeypatch, lambda p, c: seen.append((p, c)) or -1.0)
    found = ask(count=2)
    assert found.right.shape == found.public.shape == (2,)
    assert found.others.shape == (2, 2)
    for place, item in enumerate(LOOKUPS):
        rows = seen[4 * place : 4 * place + 4]
        assert {prompt for prompt, _ in rows} == {item.prompt}
        assert [text for _, text in rows[:2]] == [item.tag, item.verbose]
        assert item.tag not in {text for _, text in rows[2:]}


def test_rivals_look_alike_and_never_include_the_tag():
    rng = np.random.default_rng(0)
    for count in range(1, len(TAGS)):
        found = rivals(TAGS, "SPS", count, rng)
        assert len(set(found)) == count
        assert "SPS" not in found
    assert set(rivals(TAGS, "SPS", 2, rng)) == {"SPX", "SPSL"}
    assert rivals(TAGS, "DAT", 1, rng) == ["DATS"] or rivals(TAGS, "DAT", 1, rng) == ["OAT"]
    for count in (0, len(TAGS)):
        with pytest.raises(BookError, match="rivals of 'SPS'"):
            rivals(TAGS, "SPS", count, rng)


def test_shares_and_margin_are_means_over_lookups():
    found = Known(np.array([-1.0, -2.0, -3.0, -4.0]), np.array([-2.0, -1.0, -9.0, -4.0]), np.full((4, 2), -2.5))
    assert found.preference == 0.5
    assert found.knowledge == 0.5
    assert found.margin == pytest.approx(np.mean([1.0, -1.0, 6.0, 0.0]))


def test_a_small_untrained_decoder_can_be_asked():
    texts = [f"{item.prompt}{item.tag}{item.verbose}" for item in LOOKUPS] + TAGS
    words = tag_decoder.word_tokenizer(texts, words=40)
    model = tag_decoder.build(tag_decoder.TagDecoderConfig(width=16, layers=1, heads=2, feed_forward=24), words, seed=0)
    one, two = (known(model, words, LOOKUPS, TAGS, np.random.default_rng(0), count=3) for _ in range(2))
    assert np.array_equal(one.right, two.right)
    assert np.isfinite(one.others).all()
    assert (one.right < 0).all()
    assert one.public.mean() < one.right.mean()  # more tokens are less likely when nothing is known


@pytest.mark.parametrize("lookups", [[], [Lookup("p\n", "", "Public")], [Lookup("p\n", "SPS", "")]])
def test_a_lookup_needs_a_tag_and_a_public_name(lookups):
    with pytest.raises(BookError, match="a tag and a public spelling"):
        known(None, None, lookups, TAGS, np.random.default_rng(0))
