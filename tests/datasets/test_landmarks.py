"""The front end: a packaged picture, a video that the test writes, and what is missing."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from lib.datasets import landmarks as front
from lib.errors import BookError

FACE, LEFT, POSE, RIGHT = (slice(0, 468), slice(468, 489), slice(489, 522), slice(522, 543))


def holistic():
    return pytest.importorskip("mediapipe", reason="mediapipe is not installed")


def astronaut():
    return pytest.importorskip("skimage.data", reason="scikit-image is not installed").astronaut()


def points(count, x=0.5, y=0.25, z=0.1):
    return SimpleNamespace(landmark=[SimpleNamespace(x=x, y=y, z=z)] * count)


def test_parts_come_in_the_order_of_the_post_in_pixels_and_missing_ones_are_nan():
    found = SimpleNamespace(
        face_landmarks=points(468, x=0.1),
        left_hand_landmarks=None,
        pose_landmarks=points(33, x=0.3),
        right_hand_landmarks=points(21, x=0.4),
    )
    row = front.frame(found, width=200, height=100)
    assert row.shape == (543, 3)
    assert row.dtype == np.float32
    assert row.size == 1629
    assert np.isnan(row[LEFT]).all()
    assert not np.isnan(np.delete(row, np.r_[LEFT], axis=0)).any()
    for part, x in ((FACE, 20), (POSE, 60), (RIGHT, 80)):
        np.testing.assert_allclose(row[part], np.tile([x, 25, 20], (len(row[part]), 1)), rtol=1e-6)


def test_a_face_of_the_refined_model_is_cut_and_a_short_part_refused():
    found = SimpleNamespace(
        face_landmarks=points(478), left_hand_landmarks=None, pose_landmarks=None, right_hand_landmarks=None
    )
    assert not np.isnan(front.frame(found, 10, 10)[FACE]).any()
    with pytest.raises(BookError, match="20 landmarks of the left_hand; 21 are expected"):
        front.frame(SimpleNamespace(**{**vars(found), "left_hand_landmarks": points(20)}), 10, 10)


@pytest.mark.filterwarnings("ignore")
def test_a_picture_of_a_person_has_a_face_above_the_shoulders():
    holistic()
    (row,) = front.landmarks([astronaut()], video=False)
    assert row.shape == (543, 3)
    assert np.isnan(row[LEFT]).all()
    assert np.isnan(row[RIGHT]).all()
    face, shoulders = row[FACE], row[489 + 11 : 489 + 13]
    assert 170 < face[:, 0].mean() < 270
    assert 60 < face[:, 1].mean() < 180
    assert face[:, 1].max() < shoulders[:, 1].min()
    assert shoulders[0, 0] > shoulders[1, 0]


@pytest.mark.filterwarnings("ignore")
def test_a_video_gives_its_frames_and_its_rate(tmp_path):
    holistic()
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    picture = cv2.cvtColor(astronaut()[:256, 96:352], cv2.COLOR_RGB2BGR)
    writer = cv2.VideoWriter(str(tmp_path / "still.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 15.0, (256, 256))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no video")
    for _ in range(3):
        writer.write(picture)
    writer.release()
    found = front.from_video(tmp_path / "still.avi")
    assert found.shape == (3, 543, 3)
    assert not np.isnan(found[-1, FACE]).any()
    assert front.frames_per_second(tmp_path / "still.avi") == pytest.approx(15, rel=0.01)


def test_what_cannot_be_read_is_said_in_a_line(tmp_path, monkeypatch):
    with pytest.raises(BookError, match="there is no video"):
        front.from_video(tmp_path / "none.mp4")
    holistic()
    with pytest.raises(BookError, match=r"float64 of shape \(4, 4, 3\)"):
        next(front.landmarks([np.zeros((4, 4, 3))]))
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(BookError, match="mediapipe is not installed"):
        next(front.landmarks([]))
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(BookError, match="OpenCV is not installed"):
        front.frames_per_second(tmp_path / "none.mp4")


def test_no_camera_and_no_video_end_with_a_remedy(tmp_path):
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    (tmp_path / "text.avi").write_text("no video")
    with pytest.raises(BookError, match=r"text.avi cannot be read as a video"):
        next(front._pictures(str(tmp_path / "text.avi"), "text.avi cannot be read as a video"))
