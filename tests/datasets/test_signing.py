"""Fingerspelling recordings: their shape, mirror, handedness and inputs; frames of How2Sign's form."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lib.datasets import signing
from lib.errors import BookError


def frames(seed=0, time=5):
    return np.random.default_rng(seed).uniform(50, 450, (time, signing.LANDMARKS, 3)).astype(np.float32)


def test_the_recordings_are_those_that_the_package_ships():
    clips = signing.recordings()
    assert len(clips) == 600
    assert len({clip.language for clip in clips}) == 19
    assert {clip.frames.shape[1:] for clip in clips} == {(543, 3)}
    assert {clip.letter for clip in clips if clip.language == "ase"} >= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    american = [clip for clip in clips if clip.language == "ase"]
    assert all(signing.handedness(clip.frames) == "right" for clip in american)


def test_zeros_are_missing_and_depth_is_scaled():
    raw = np.ones((1, 543, 3), dtype=np.float32)
    raw[0, 7] = 0
    found = signing.from_file(raw)
    assert np.isnan(found[0, 7]).all()
    assert found[0, 8].tolist() == [1, 1, signing.DEPTH]


def test_a_mirror_is_its_own_inverse_and_changes_hands():
    given = frames()
    given[:, signing.LEFT] = np.nan
    assert signing.handedness(given) == "right"
    turned = signing.mirrored(given)
    assert signing.handedness(turned) == "left"
    np.testing.assert_allclose(signing.mirrored(turned), given, rtol=1e-5)
    np.testing.assert_allclose(turned[:, signing.POSE][:, 15, 0], 500 - given[:, signing.POSE][:, 16, 0], rtol=1e-5)
    clip = signing.Recording("xxx", "A", 25.0, turned)
    np.testing.assert_allclose(signing.right_handed(clip).frames, given, rtol=1e-5)


def test_both_hands_and_none():
    given = frames(time=10)
    assert signing.handedness(given) == "both"
    given[:, signing.LEFT] = given[:, signing.RIGHT] = np.nan
    assert signing.handedness(given) == "none"
    assert signing.seen(given) == {"left": 0.0, "right": 0.0}


def test_inputs_forget_where_the_signer_stands_and_how_far():
    given = frames()
    moved = given * np.float32(1.7) + np.array([31, -12, 5], dtype=np.float32)
    np.testing.assert_allclose(signing.inputs(moved), signing.inputs(given), atol=2e-4)
    assert signing.inputs(given).shape == (5, signing.INPUTS)


def test_inputs_of_a_frame_do_not_look_at_others_and_a_lost_hand_is_zero():
    given = frames()
    alone = np.concatenate([signing.inputs(given[[place]]) for place in range(5)])
    np.testing.assert_array_equal(alone, signing.inputs(given))
    given[2, signing.RIGHT] = np.nan
    found = signing.inputs(given)
    assert not found[2, :63].any()
    assert found[:, 69].tolist() == [1, 1, 0, 1, 1]


def test_inputs_have_no_face_and_everything_has():
    given, other = frames(), frames()
    other[:, signing.FACE] += 9
    np.testing.assert_array_equal(signing.inputs(other), signing.inputs(given))
    assert signing.everything(given).shape == (5, 1629)
    assert not np.allclose(signing.everything(other), signing.everything(given))


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_resampling_keeps_ends_and_straight_lines(count):
    line = np.linspace(0, 8, 9)[:, None] * np.array([1.0, -2.0])
    found = signing.resampled(line, count)
    expected = np.linspace(0, 8, count) if count > 1 else np.array([4.0])
    np.testing.assert_allclose(found[:, 0], expected, atol=1e-9)
    np.testing.assert_allclose(found[:, 1], -2 * expected, atol=1e-9)


def openpose(path, hand=1.0, people=1):
    part = {"pose_keypoints_2d": [float(x) for x in range(75)], "hand_right_keypoints_2d": [1, 2, hand] * 21}
    part |= {"hand_left_keypoints_2d": [5, 6, 0] * 21, "face_keypoints_2d": [0] * 210}
    path.write_text(json.dumps({"people": [part] * people}))


def test_how2sign_frames_come_in_order_with_missing_points(tmp_path):
    openpose(tmp_path / "a_000_keypoints.json")
    openpose(tmp_path / "a_001_keypoints.json", people=0)
    found = signing.how2sign(tmp_path.glob("*.json"))
    assert found.shape == (2, 543, 3)
    assert np.isnan(found[1]).all()
    assert np.isnan(found[0, signing.FACE]).all()
    assert found[0, signing.RIGHT].tolist() == [[1, 2, 0]] * 21
    assert np.isnan(found[0, signing.LEFT]).all()
    assert found[0, signing.POSE][16, :2].tolist() == [12, 13]  # the file's body point 4, the right wrist


def test_what_is_no_recording_is_refused(tmp_path):
    with pytest.raises(BookError, match="give \\[T, 543, 3\\]"):
        signing.inputs(np.zeros((2, 10, 3)))
    with pytest.raises(BookError, match="at least 1 frame"):
        signing.resampled(np.zeros((3, 1)), 0)
    with pytest.raises(BookError, match="no keypoint files"):
        signing.how2sign([])
    (tmp_path / "b.json").write_text("{}")
    with pytest.raises(BookError, match="no OpenPose frame"):
        signing.how2sign([tmp_path / "b.json"])
