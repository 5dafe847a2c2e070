"""Fingerspelling recordings as landmarks: 600 clips of single letters, and the 70 numbers that carry the letter.

Each clip is one signer showing one letter of one alphabet, seen by MediaPipe Holistic. Fingerspelling is not signing:
it is the part of a sign language that spells names and borrowed words. Alphabets differ; some are two-handed.

A frame is 543 landmarks in the order of the post of 2026-05-01: face 468, left hand 21, pose 33, right hand 21.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from lib.datasets import registry
from lib.errors import BookError

FACE, LEFT, POSE, RIGHT = slice(0, 468), slice(468, 489), slice(489, 522), slice(522, 543)
LANDMARKS = 543
INPUTS = 70
LEXICON = "assets/fingerspelling_lexicon"
ORDER = np.r_[33:501, 511:532, 0:33, 532:553]  # from the file's pose 33, face 478, left 21, right 21, world 33
DEPTH = 500.0  # pixels of width: the files keep depth as a share of the width
HANDS = {"left": LEFT, "right": RIGHT}
ARM = np.array([1, 1, 0.1], dtype=np.float32)  # depth of the pose is coarse, and large beside the rest
SHOULDERS, ELBOW, WRIST = (11, 12), 14, 16  # of the pose; the signer's right arm
# Pairs of pose landmarks that change places when a picture is mirrored
PAIRS = ((1, 4), (2, 5), (3, 6), (7, 8), (9, 10), *((left, left + 1) for left in range(11, 33, 2)))
OPENPOSE = {0: 0, 2: 12, 3: 14, 4: 16, 5: 11, 6: 13, 7: 15, 9: 24, 12: 23, 15: 5, 16: 2, 17: 8, 18: 7}  # body -> pose


@dataclass(frozen=True)
class Recording:
    """One clip of one letter."""

    language: str
    """Code of the sign language, ISO 639-3: 'ase' is American Sign Language."""
    letter: str
    """What is shown, as the lexicon writes it."""
    fps: float
    """Frames a second."""
    frames: np.ndarray
    """float32 [T, 543, 3] in pixels, x to the right, y down, depth on the same scale; NaN where nothing was found."""


@lru_cache(maxsize=1)
def recordings() -> tuple[Recording, ...]:
    """All 600 clips, in the order of the package's index. Chapter 02, data.

    Raises BookError when the packages spoken-to-signed or pose-format are absent.
    """
    folder = registry.fetch("fingerspelling_poses") / LEXICON
    try:
        from pose_format import Pose
    except ImportError as error:
        raise BookError("the clips need the package pose-format: pip install --no-deps pose-format") from error
    clips = []
    with (folder / "data.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            pose = Pose.read((folder / row["path"]).read_bytes())
            frames = pose.body.data.filled(0)[:, 0, ORDER].astype(np.float32)
            clips.append(Recording(row["signed_language"], row["words"], float(pose.body.fps), from_file(frames)))
    return tuple(clips)


def from_file(frames: np.ndarray) -> np.ndarray:
    """Zeros become NaN and depth comes to the scale of the width. frames [T, 543, 3] -> [T, 543, 3]."""
    missing = ~frames.any(axis=2)
    frames = frames * np.array([1, 1, DEPTH], dtype=np.float32)
    frames[missing] = np.nan
    return frames


def seen(frames: np.ndarray) -> dict[str, float]:
    """The share of frames in which the left and the right hand were found."""
    return {name: float(np.isfinite(frames[:, part, 0]).all(1).mean()) for name, part in HANDS.items()}


def handedness(frames: np.ndarray, both: float = 0.3) -> str:
    """Measured, not asked: "both" when each hand is there in more than a share `both` of the frames, else the more
    frequent one; "none" when no hand was found. frames [T, 543, 3].
    """
    found = seen(frames)
    if min(found.values()) > both:
        return "both"
    return max(found, key=found.get) if max(found.values()) > 0 else "none"


def mirrored(frames: np.ndarray, width: float = 500.0) -> np.ndarray:
    """The picture in a mirror: a left hand becomes a right one, and paired pose landmarks change places.

    frames [T, 543, 3]; width: of the picture, in pixels. The face is flipped but its landmarks keep their numbers.
    Mirroring twice gives the same frames again.
    """
    check(frames)
    flipped = frames * np.array([-1, 1, 1], dtype=frames.dtype) + np.array([width, 0, 0], dtype=frames.dtype)
    order = np.arange(33)
    for one, other in PAIRS:
        order[[one, other]] = other, one
    return np.concatenate([flipped[:, FACE], flipped[:, RIGHT], flipped[:, POSE][:, order], flipped[:, LEFT]], axis=1)


def right_handed(clip: Recording) -> Recording:
    """The clip with its one active hand on the right; unchanged unless it is measured as left-handed."""
    return replace(clip, frames=mirrored(clip.frames)) if handedness(clip.frames) == "left" else clip


def check(frames: np.ndarray) -> None:
    """Raises BookError unless frames are [T, 543, 3] with T of 1 or more."""
    if frames.ndim != 3 or frames.shape[1:] != (LANDMARKS, 3) or not len(frames):
        raise BookError(f"frames are {frames.shape}; give [T, {LANDMARKS}, 3] with at least one frame")


def inputs(frames: np.ndarray) -> np.ndarray:
    """What a model reads of each frame, float32 [T, 70]; no frame looks at another, so a live camera can feed it.

    0..62: right hand, 21 points minus its wrist, in palms (the longest of wrist to index, middle and little knuckle);
    63..65 and 66..68: wrist and elbow of that arm, from the middle of the shoulders, in shoulder widths, depth a tenth;
    69: 1 if the hand was found. Whatever was not found is 0. The face is left out: within one clip it gives the letter
    away, and it says nothing across signers (chapter 02, "A split that lies"). frames [T, 543, 3].
    """
    check(frames)
    hand, pose = frames[:, RIGHT], frames[:, POSE]
    found = np.isfinite(hand).all(axis=(1, 2))
    shape = hand - hand[:, :1]
    palm = np.linalg.norm(shape[:, [5, 9, 17]], axis=2).max(axis=1)
    middle, width = shoulders(frames)
    arm = (pose[:, [WRIST, ELBOW]] - middle[:, None]) / width[:, None, None] * ARM
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [(shape / palm[:, None, None]).reshape(len(frames), -1), arm.reshape(len(frames), -1), found[:, None]]
    return np.nan_to_num(np.concatenate(parts, axis=1), nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32)


def everything(frames: np.ndarray) -> np.ndarray:
    """All 1,629 numbers of the post, float32 [T, 1629], from the middle of the shoulders in shoulder widths; 0 if not
    found. frames [T, 543, 3].
    """
    check(frames)
    middle, width = shoulders(frames)
    scaled = (frames - middle[:, None]) / width[:, None, None]
    return np.nan_to_num(scaled.reshape(len(frames), -1), nan=0.0).astype(np.float32)


def shoulders(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middle of the shoulders [T, 3] and their distance in the picture [T], at least one pixel."""
    two = frames[:, POSE][:, SHOULDERS]
    width = np.linalg.norm(two[:, 0, :2] - two[:, 1, :2], axis=1)
    return two.mean(axis=1), np.maximum(width, 1.0)


def resampled(sequence: np.ndarray, count: int) -> np.ndarray:
    """A sequence [T, ...] at another number of frames [count, ...], by linear interpolation; ends stay ends."""
    if count < 1:
        raise BookError(f"count={count}; resample to at least 1 frame")
    place = np.linspace(0, len(sequence) - 1, count) if count > 1 else np.array([(len(sequence) - 1) / 2])
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, len(sequence) - 1)
    part = (place - low).reshape(-1, *[1] * (sequence.ndim - 1)).astype(sequence.dtype)
    return sequence[low] * (1 - part) + sequence[high] * part


def how2sign(files: Iterable[Path | str]) -> np.ndarray:
    """Frames [T, 543, 3] of a How2Sign clip, from its OpenPose files, one JSON file a frame, in name order.

    The set is CC BY-NC 4.0 and is never bundled. Hands are those of the file; 13 of its 25 body points have a
    counterpart in the pose of MediaPipe; the face has other points and stays NaN, as does all with confidence 0; depth
    is 0. Raises BookError for a file that is no such frame.
    """
    paths = sorted(map(Path, files))
    if not paths:
        raise BookError("no keypoint files were given; name the JSON files of one How2Sign clip")
    return np.stack([_openpose(path) for path in paths])


def _openpose(path: Path) -> np.ndarray:
    frame = np.full((LANDMARKS, 3), np.nan, dtype=np.float32)
    try:
        people = json.loads(path.read_text(encoding="utf-8"))["people"]
        if people:
            parts = {name: np.array(people[0][f"{name}_keypoints_2d"], dtype=np.float32).reshape(-1, 3) for name in
                     ("pose", "hand_left", "hand_right")}  # fmt: skip
            for part, name in ((LEFT, "hand_left"), (RIGHT, "hand_right")):
                frame[part] = _confident(parts[name])
            for body, ours in OPENPOSE.items():
                frame[POSE][ours] = _confident(parts["pose"][body : body + 1])[0]
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise BookError(f"{path} is no OpenPose frame ({error}); give the files of openpose_output/json") from error
    return frame


def _confident(points: np.ndarray) -> np.ndarray:
    """x, y, 0 of points [n, 3] that hold x, y and a confidence; NaN where the confidence is 0."""
    flat = np.column_stack([points[:, :2], np.zeros(len(points), dtype=np.float32)])
    flat[points[:, 2] <= 0] = np.nan
    return flat
