"""Composed phrases: which takes, which words, what the pace and the seed decide; lessons, strips, How2Sign."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from lib.datasets import composed_signing as cs
from lib.datasets import how2sign, signing, signing_lessons, skeleton
from lib.errors import BookError


@pytest.fixture(scope="module")
def takes():
    return cs.takes()


def test_held_out_languages_are_never_trained_on(takes):
    assert {take.language for take in takes.held_out} == set(cs.HELD_OUT)
    assert not {take.language for take in takes.train} & set(cs.HELD_OUT)
    assert {take.letter for take in takes.train if take.language == "ase"} == set(cs.LETTERS)
    american = {take.letter: take for take in takes.train if take.language == "ase"}
    assert max(cs.distance(take, american[take.letter]) for take in takes.held_out) <= takes.cut


def test_words_are_parted_and_tokens_are_the_text():
    train, held_out = cs.words()
    assert not set(train) & set(held_out)
    assert len(held_out) >= 10
    assert cs.decode([cs.BOS, *cs.encode("TRY AGAIN"), cs.PAD]) == "TRY AGAIN"
    with pytest.raises(BookError, match="cannot be spelled"):
        cs.encode("é")


def test_equal_generators_give_equal_phrases_and_others_do_not(takes):
    composer = cs.Composer(takes.train)
    one, two, three = (composer.compose("WORD", np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.inputs, two.inputs)
    assert one.spans == two.spans
    assert len(one.inputs) != len(three.inputs) or (one.inputs != three.inputs).any()


def test_held_letters_are_frames_of_takes_and_pace_divides_lengths(takes):
    composer = cs.Composer(takes.train, cs.Composing(undershoot=0.0))
    phrase = composer.compose("BAD", np.random.default_rng(0), rate=1.0)
    for letter, (first, last) in zip(phrase.text, phrase.spans, strict=True):
        known = np.concatenate([take.inputs for take in takes.train if take.letter == letter])
        for frame in phrase.inputs[first:last]:
            assert np.abs(known - frame).max(axis=1).min() < 1e-5
    lengths = {
        rate: len(composer.compose("LONGER", np.random.default_rng(0), rate=rate).inputs) for rate in (0.6, 1.65)
    }
    assert 2.2 < lengths[0.6] / lengths[1.65] < 3.3


def test_a_pause_lowers_the_wrist(takes):
    phrase = cs.Composer(takes.train).compose("A B", np.random.default_rng(0))
    heights = [phrase.inputs[first:last, 64].mean() for first, last in phrase.spans]
    assert heights[1] > heights[0]
    assert heights[1] > heights[2]


def test_lessons_hold_single_letters_only_where_asked(takes):
    sets = signing_lessons.sets(takes.train, 100, 3)
    singles = {name: sum(len(phrase.text) == 1 for phrase in phrases) for name, phrases in sets.items()}
    assert singles == {"phrases": 0, "with_letters": 12, "american": 0}
    held_out = set(cs.words()[1])
    long = [phrase.text.split() for phrase in sets["phrases"] if " " in phrase.text]
    assert long
    assert not {word for words in long for word in words} & held_out


def test_windows_are_one_held_letter(takes):
    clips, labels = signing_lessons.windows(takes.train, 8, 30, 0)
    assert clips.shape == (30, 8, signing.INPUTS)
    assert set(labels) <= set(range(26))
    again = signing_lessons.windows(takes.train, 8, 30, 0)
    np.testing.assert_array_equal(clips, again[0])


def test_a_calibration_clip_is_of_the_same_signer_and_turn(takes):
    turned = replace(cs.Composing(), stretch=0.3)
    phrases, clips, who = signing_lessons.of_signers(takes.train, 40, 0, composing=turned)
    assert clips.shape == (40, 24, signing.INPUTS)
    assert set(who) <= {take.language for take in takes.train}
    size = lambda x: np.linalg.norm(x[:, :63].reshape(len(x), 21, 3)[:, 9], axis=1).mean()  # noqa: E731
    pairs = np.array([[size(phrase.inputs), size(clip)] for phrase, clip in zip(phrases, clips, strict=True)])
    assert np.corrcoef(np.log(pairs.T))[0, 1] > 0.8
    own = {(take.language, take.letter) for take in takes.train}
    assert all((signer, letter) in own for phrase, signer in zip(phrases, who, strict=True) for letter in phrase.text)
    assert all(phrase.spans[0][0] >= 0 and phrase.spans[-1][1] == len(phrase.inputs) for phrase in phrases)
    with pytest.raises(BookError, match="no language has 3 letters"):
        signing_lessons.of_signers(takes.train[:1], 1, 0)


def test_what_cannot_be_composed_is_refused(takes):
    few = cs.Composer([take for take in takes.train if take.letter in "AB"])
    with pytest.raises(BookError, match="no take shows \\['C'\\]"):
        few.compose("ABC", np.random.default_rng(0))
    with pytest.raises(BookError, match="at least one"):
        cs.Composer([])
    with pytest.raises(BookError, match="rate="):
        cs.Composing(rate=(2.0, 1.0))


def test_lines_of_a_hand_and_a_person(takes):
    clip = signing.recordings()[0]
    lines, face = skeleton.person(clip.frames[len(clip.frames) // 2])
    assert face.shape == (468, 2)
    assert lines.shape[1] == 2
    assert np.nanmean(face[:, 1]) > np.nanmean(lines[:, 1])  # y is turned up: the face is above the trunk
    phrase = cs.Composer(takes.train).compose("HI", np.random.default_rng(0))
    strip = skeleton.strip(phrase.inputs, [0, 3, 6])
    assert np.isnan(strip).any(axis=1).sum() == 3 * 6  # five fingers and a palm
    starts = strip[np.concatenate([[True], np.isnan(strip).any(1)[:-1]])][::6, 0]
    np.testing.assert_allclose(np.diff(starts), 2.4, atol=1e-5)
    with pytest.raises(BookError, match="a frame is"):
        skeleton.person(np.zeros((3, 3)))


def test_how2sign_by_folder(tmp_path):
    hands = {f"hand_{side}_keypoints_2d": [1.0] * 63 for side in ("left", "right")}
    body = {"pose_keypoints_2d": [1.0] * 75} | hands
    for name in ("a_0", "b_0", "other"):
        (tmp_path / "json" / name).mkdir(parents=True)
        for frame in range(3):
            (tmp_path / "json" / name / f"{frame}_keypoints.json").write_text(json.dumps({"people": [body]}))
    table = tmp_path / "captions.csv"
    table.write_text("SENTENCE_NAME\tSENTENCE\na_0\tHi, hi there.\nb_0\tIt's there!\nc_0\tnever\n")
    found = how2sign.load(tmp_path / "json", table, size=6, longest=2)
    assert found.words == ("hi", "there", "it's")
    assert [clip.shape for clip in found.clips] == [(2, 1629)] * 2
    assert found.tokens == ((3, 3, 4), (5, 4))
    assert how2sign.load(tmp_path / "json", table, size=4).tokens == ((3, 3, 2), (2, 2))
    with pytest.raises(BookError, match="no subfolder"):
        how2sign.load(tmp_path, table)
    table.write_text("a,b\n1,2\n")
    with pytest.raises(BookError, match="no How2Sign caption table"):
        how2sign.load(tmp_path / "json", table)
