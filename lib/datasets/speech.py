"""Speech with its text: the pocket voice that ships, folders in the layout of LJ Speech, 8-second chunks."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.datasets import registry
from lib.errors import BookError
from lib.models.resampling import resampled

RATE = 24_000
SOUNDS = (".wav", ".ogg", ".opus", ".flac")


@dataclass(frozen=True)
class Clip:
    """One utterance: its id, its text ("" when there is none) and its samples [n], float32 at 24 kHz."""

    id: str
    text: str
    wave: np.ndarray

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.wave) / RATE


def pocket_speech(most: int | None = None) -> list[Clip]:
    """The clips of the voice that ships, or the first `most` of them: half an hour, sentences of our own, exact text.

    Used by chapters 09 and 10.
    """
    import soundfile

    with registry.fetch("pocket_speech_texts").open(encoding="utf-8", newline="") as table:
        rows = [(row["id"], row["text"], int(row["start"]), int(row["samples"])) for row in csv.DictReader(table)]
    rows = rows[:most]
    end = rows[-1][2] + rows[-1][3]
    wave, rate = soundfile.read(registry.fetch("pocket_speech"), frames=end, dtype="float32")
    if rate != RATE:
        raise BookError(f"the pocket speech has {rate} samples a second, not {RATE}; make it again with its script")
    return [Clip(name, text, wave[start : start + samples]) for name, text, start, samples in rows]


def lj_speech() -> list[Clip]:
    """Real clips: LJ Speech, as many as the registry names, text where it has a transcript."""
    texts = _metadata(registry.fetch("lj_speech_transcripts"))
    paths = sorted(registry.fetch("lj_speech_clips").glob("LJ*.wav"))
    return [Clip(path.stem, texts.get(path.stem, ""), read(path)) for path in paths]


def folder(path: Path | str) -> list[Clip]:
    """The clips of a folder in the layout of LJ Speech: metadata.csv with id|text|text, and wavs/ID.wav, ogg or flac.

    Raises BookError when the folder, its table or a sound is missing.
    """
    path = Path(path)
    table = path / "metadata.csv"
    if not table.is_file():
        raise BookError(f"no metadata.csv in {path}; write one line id|text|text for each sound of its wavs folder")
    clips = []
    for name, text in _metadata(table).items():
        found = [path / "wavs" / f"{name}{end}" for end in SOUNDS if (path / "wavs" / f"{name}{end}").is_file()]
        if not found:
            raise BookError(
                f"metadata.csv names {name}, but {path / 'wavs'} has no {name}.wav; add it or drop the line"
            )
        clips.append(Clip(name, text, read(found[0])))
    if not clips:
        raise BookError(f"{table} is empty; write one line id|text|text for each sound")
    return clips


def _metadata(path: Path) -> dict[str, str]:
    lines = path.read_text(encoding="utf-8-sig").splitlines()  # Windows editors put a mark at the start of a file
    rows = [line.split("|") for line in lines if line.strip()]
    return {_stem(row[0].strip()): row[-1].strip() if len(row) > 1 else "" for row in rows}


def _stem(name: str) -> str:
    return Path(name).stem if Path(name).suffix in SOUNDS else name


def read(path: Path) -> np.ndarray:
    """The samples [n] of a sound file as float32 at 24 kHz, channels averaged. Raises BookError if unreadable."""
    import soundfile

    try:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise BookError(f"{path} cannot be read as sound: {error}; use wav, ogg, opus or flac") from None
    if not len(wave):
        raise BookError(f"{path} holds no sound; record it again or drop its line")
    return resampled(wave.mean(1), rate, RATE)


def split(clips: Sequence[Clip], validation: float, generator: np.random.Generator) -> tuple[list[Clip], list[Clip]]:
    """Training and validation clips: whole utterances on one side or the other, a share of `validation` of them.

    Raises BookError when one side would be empty.
    """
    held = round(validation * len(clips))
    if not 0 < held < len(clips):
        raise BookError(f"validation={validation} of {len(clips)} clips leaves one side empty; choose another share")
    order = generator.permutation(len(clips))
    chosen = set(order[:held].tolist())
    return [c for i, c in enumerate(clips) if i not in chosen], [clips[i] for i in sorted(chosen)]


def every_tenth(clips: Sequence[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Training clips, and each tenth held out: whoever reads the first clips alone holds out the same ones.

    Raises BookError for fewer than ten clips.
    """
    if len(clips) < 10:
        raise BookError(f"{len(clips)} clips hold out none; give at least 10")
    return [clip for i, clip in enumerate(clips) if i % 10 != 9], list(clips[9::10])


def chunks(
    wave: np.ndarray, seconds: float, *, pad: bool, keep_tail: float | None = None, rate: int = RATE
) -> list[np.ndarray]:
    """A clip cut into windows that do not overlap, as the speech post cut LJ Speech.

    pad: a clip shorter than a window is filled with digital silence to its length; without, it stays short. keep_tail:
    the rest after whole windows is kept when it has at least so many seconds; None drops it.
    """
    size = round(seconds * rate)
    whole = [wave[i : i + size] for i in range(0, len(wave) - size + 1, size)]
    if not whole:
        return [np.pad(wave, (0, size - len(wave)))] if pad else [wave]
    tail = wave[len(whole) * size :]
    if keep_tail is not None and len(tail) >= keep_tail * rate:
        whole.append(np.pad(tail, (0, size - len(tail))) if pad else tail)
    return whole
