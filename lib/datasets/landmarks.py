"""The front end of continuous signing: pictures from a file or a webcam become landmarks, by MediaPipe Holistic.

MediaPipe, the packaged models it brings (model_complexity 1) and OpenCV are only needed here. The front end is frozen,
as in the post: nothing of the book trains it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from lib.errors import BookError

PARTS = {"face": 468, "left_hand": 21, "pose": 33, "right_hand": 21}
"""Landmarks of a frame, in the order of the post: 543 of three numbers are 1,629."""

LANDMARKS = sum(PARTS.values())
"""Landmarks in a frame."""


def _mediapipe() -> ModuleType:
    try:
        import mediapipe
    except ImportError as error:
        raise BookError("mediapipe is not installed; pip install mediapipe, or work on recorded landmarks") from error
    if not hasattr(mediapipe, "solutions"):
        raise BookError(f"mediapipe {mediapipe.__version__} has no Holistic solution; install mediapipe<0.11")
    return mediapipe


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise BookError("OpenCV is not installed; pip install opencv-python-headless to read videos") from error
    return cv2


def landmarks(pictures: Iterable[np.ndarray], video: bool = True) -> Iterator[np.ndarray]:
    """Landmarks of each picture, as it comes: RGB uint8 [height, width, 3] -> float32 [543, 3].

    x to the right and y down in pixels, z in the same unit as x, from MediaPipe's own origin; a part that was not
    found is NaN. video: whether each picture follows from the last (tracked) or stands alone.
    Raises BookError for a picture of another form or if MediaPipe is absent. Used by chapter 02.
    """
    holistic = _mediapipe().solutions.holistic.Holistic
    with holistic(static_image_mode=not video, model_complexity=1, refine_face_landmarks=False) as detector:
        for picture in pictures:
            yield frame(detector.process(_checked(picture)), picture.shape[1], picture.shape[0])


def frame(found: Any, width: int, height: int) -> np.ndarray:
    """One result of MediaPipe on a width x height picture -> float32 [543, 3], NaN where a part is missing."""
    rows = []
    for part, count in PARTS.items():
        points = getattr(found, f"{part}_landmarks")
        if points is None:
            rows.append(np.full((count, 3), np.nan, dtype=np.float32))
            continue
        row = np.array([(point.x * width, point.y * height, point.z * width) for point in points.landmark])
        if len(row) < count:
            raise BookError(f"MediaPipe gave {len(row)} landmarks of the {part}; {count} are expected")
        rows.append(row[:count].astype(np.float32))
    return np.concatenate(rows)


def from_video(path: Path | str) -> np.ndarray:
    """Landmarks of every frame of a video file: float32 [T, 543, 3]. Raises BookError if it cannot be read."""
    path = Path(path)
    if not path.is_file():
        raise BookError(f"there is no video {path}; give the path of a file")
    found = list(landmarks(_pictures(str(path), f"{path.name} cannot be read as a video; try an mp4 or avi file")))
    if not found:
        raise BookError(f"{path.name} holds no frame; try an mp4 or avi file")
    return np.stack(found)


def from_webcam(camera: int = 0) -> Iterator[np.ndarray]:
    """Landmarks of a live camera, frame by frame, each [543, 3], until the caller stops asking.

    Raises BookError if the camera does not open.
    """
    return landmarks(_pictures(camera, f"camera {camera} does not open; plug one in, or read a video with from_video"))


def frames_per_second(path: Path | str) -> float:
    """The rate that a video file states, in frames per second."""
    cv2 = _opencv()
    capture = cv2.VideoCapture(str(path))
    try:
        rate = float(capture.get(cv2.CAP_PROP_FPS)) if capture.isOpened() else 0.0
    finally:
        capture.release()
    if rate <= 0:
        raise BookError(f"{Path(path).name} states no frame rate; try an mp4 or avi file")
    return rate


def _pictures(where: str | int, complaint: str) -> Iterator[np.ndarray]:
    cv2 = _opencv()
    capture = cv2.VideoCapture(where)
    try:
        if not capture.isOpened():
            raise BookError(complaint)
        while True:
            more, picture = capture.read()
            if not more:
                return
            yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def _checked(picture: np.ndarray) -> np.ndarray:
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise BookError(f"a picture is {picture.dtype} of shape {picture.shape}; uint8 [height, width, 3] is expected")
    return np.ascontiguousarray(picture)
