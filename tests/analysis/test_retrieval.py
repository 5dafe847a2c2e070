"""Retrieval over a table: exact questions, slips, refusals, and an edit distance that an oracle confirms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.analysis.retrieval import TagRetriever
from lib.errors import BookError

TAGS = ["SPS", "DAT", "AT", "OAT", "CHWP"]
TEXTS = [
    "supply air static pressure setpoint",
    "discharge air temperature sensor",
    "air temperature sensor",
    "outside air temperature sensor",
    "chilled water pump",
]
METHODS = ("words", "letters", "edit")


@pytest.mark.parametrize("method", METHODS)
def test_a_description_in_a_sentence_finds_its_tag(method):
    retriever = TagRetriever(TAGS, TEXTS, method)
    for tag, text in zip(TAGS, TEXTS, strict=True):
        assert retriever.answer(f"what is the short form of {text} ?\n") == tag
        assert retriever.answer(f"what is {tag} ?") == text
        assert retriever.similarities(f"name {text}").max() <= 1 + 1e-9
    assert retriever.answer("which of DAT or SPS or OAT names outside air temperature sensor ?") == "OAT"


@pytest.mark.parametrize("method", ["letters", "edit"])
def test_letters_and_edits_forgive_a_slip(method):
    assert TagRetriever(TAGS, TEXTS, method).answer("give the tag for chiled watr pmup") == "CHWP"


def test_words_do_not_see_what_the_table_lacks():
    """Which is how retrieval walks into the trap: the unlisted equipment is invisible to it."""
    retriever = TagRetriever(TAGS, TEXTS, "words")
    plain, trapped = (
        retriever.nearest(f"name the {word}discharge air temperature sensor") for word in ("", "elevator ")
    )
    assert plain == trapped
    assert plain[0] == "DAT"


@pytest.mark.parametrize("method", METHODS)
def test_the_threshold_parts_the_sides(method):
    retriever = TagRetriever(TAGS, TEXTS, method)
    known = [f"tag for {text}" for text in TEXTS]
    unknown = ["tag for elevator", "tag for fume hood", "tag for video camera"]
    cut = retriever.fit_threshold(known, unknown)
    assert cut == retriever.threshold
    assert all(retriever.answer(prompt) == "not in the table" for prompt in unknown)
    assert [retriever.answer(prompt) for prompt in known] == TAGS
    with pytest.raises(BookError, match="both sides"):
        retriever.fit_threshold(known, [])


def stretch_edits(text: str, prompt: str) -> int:
    """The oracle: the smallest Levenshtein distance to any stretch of the prompt."""

    def edits(a, b):
        row = list(range(len(b) + 1))
        for i, x in enumerate(a, 1):
            last, row[0] = row[0], i
            for j, y in enumerate(b, 1):
                last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
        return row[-1]

    places = range(len(prompt) + 1)
    return min(edits(text, prompt[i:j]) for i in places for j in places if i <= j)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("abc", min_size=1, max_size=6), min_size=1, max_size=4), st.text("abcd", max_size=9))
def test_the_edits_of_all_rows_at_once_are_those_of_each(texts, prompt):
    retriever = TagRetriever([f"T{place}" for place in range(len(texts))], texts, "edit")
    assert retriever._stretch_edits(prompt).tolist() == [stretch_edits(text, prompt) for text in texts]


def test_strange_prompts_are_answered_or_refused():
    for method in METHODS:
        retriever = TagRetriever(TAGS, TEXTS, method, threshold=0.9)
        for prompt in ("", " \n", "供应空气", "?" * 500):
            assert retriever.answer(prompt) == "not in the table"
            assert np.isfinite(retriever.similarities(prompt)).all()


def test_what_is_not_a_table_is_refused():
    with pytest.raises(BookError, match="2 tags and 1"):
        TagRetriever(["A", "B"], ["a"])
    with pytest.raises(BookError, match="magic"):
        TagRetriever(["A"], ["alpha"], "magic")
