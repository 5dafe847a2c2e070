"""Words heard: distances worked out by hand, the pocket voice understood, noise without words."""

import numpy as np
import pytest

from lib.analysis.recogniser import edit_distance, known_pairs, misheard, recognised, share_wrong, word_errors, words
from lib.datasets import speech
from lib.errors import BookError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("", "", 0),
        ("a b c", "a b c", 0),
        ("", "a b c", 3),
        ("a b c", "", 3),
        ("a x c", "a b c", 1),
        ("a c", "a b c", 1),
        ("a b b c", "a b c", 1),
        ("c b a", "a b c", 2),
        ("k i t t e n", "s i t t i n g", 3),
        ("b a", "a b", 2),  # a swap is two edits
    ],
)
def test_edit_distance_by_hand(one: str, other: str, distance: int) -> None:
    assert edit_distance(one.split(), other.split()) == distance
    assert edit_distance(other.split(), one.split()) == distance


def test_words_are_what_was_read() -> None:
    said = words("The farmer\u2019s daughter, \u201cforty-two\u201d o'clock \u2014 No!")
    assert said == ["the", "farmer's", "daughter", "forty", "two", "o'clock", "no"]
    with pytest.raises(BookError, match="holds digits"):
        words("in 1455")


def test_word_errors_count_against_the_text() -> None:
    assert word_errors(["the", "cat", "sat"], "The cat sat down.") == (1, 4)
    assert word_errors(list("abcd"), "x") == (4, 1)


def test_share_wrong_pools_counts_and_resamples_recordings() -> None:
    found = share_wrong([0, 3, 1], [10, 10, 20], np.random.default_rng(0))
    assert (found["errors"], found["words"], found["rate"]) == (4, 40, 0.1)
    assert 0 <= found["low"] < 0.1 < found["high"] <= 0.3
    alike = share_wrong([1, 1], [10, 10], np.random.default_rng(0))
    assert alike["low"] == alike["high"] == 0.1
    fewer = share_wrong([-1, -1], [10, 10], np.random.default_rng(0))
    assert fewer["rate"] == -0.1
    with pytest.raises(BookError, match="no interval"):
        share_wrong([1], [10], np.random.default_rng(0))


def test_misheard_sets_each_version_beside_the_original() -> None:
    clips = speech.pocket_speech(3)
    waves = [clip.wave for clip in clips]
    versions = {"original": waves, "silent": [0 * wave for wave in waves]}
    rates, more = misheard(versions, [clip.text for clip in clips], np.random.default_rng(0))
    assert rates["original"]["rate"] < 0.5 < rates["silent"]["rate"]
    assert more["original"]["errors"] == 0
    assert more["silent"]["errors"] == rates["silent"]["errors"] - rates["original"]["errors"]


def test_known_pairs_by_hand() -> None:
    texts = ["The blue vase, at once.", "A blue kite."]
    assert known_pairs([["the", "blue", "kite"], ["once"]], texts) == 1.0
    assert known_pairs([["blue", "vase", "blue"]], texts) == 0.5
    assert known_pairs([["once", "a"]], texts) == 0.0  # not across two texts
    assert known_pairs([[], ["once"]], texts) == 0.0


def test_the_pocket_voice_is_mostly_understood_whatever_was_heard_before() -> None:
    clips = speech.pocket_speech(4)
    first = [recognised(clip.wave) for clip in clips]
    errors, said = np.sum([word_errors(heard, clip.text) for heard, clip in zip(first, clips, strict=True)], axis=0)
    assert said > 40
    assert errors / said < 0.4
    assert [recognised(clip.wave) for clip in clips[::-1]] == first[::-1]
    assert recognised(0.05 * RNG.standard_normal(24_000)) == []
    with pytest.raises(BookError, match="samples have shape"):
        recognised(np.zeros((2, 9)))


def test_without_its_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from lib.analysis import recogniser

    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    recogniser._decoder.cache_clear()
    with pytest.raises(BookError, match="needs the package pocketsphinx"):
        recognised(np.zeros(9_000))
