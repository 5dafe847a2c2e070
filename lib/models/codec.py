"""Speech as tokens and back: one interface, and a small codec of our own behind it.

Seven codebooks quantise a log-mel frame, each what the ones before left over; the eighth holds pitch and voicing.
That last one is where this codec leaves the books: a residual quantiser of mel frames alone loses the voice.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from lib.errors import BookError
from lib.models.log_mel import MelConfig, framed, log_mel_of_frames
from lib.models.pitch import pitch_of_frames
from lib.models.vocoder import Vocoder, griffin_lim

MEL = MelConfig()
LOW, HIGH = 60.0, 450.0  # Hz: the pitch that token 1 and the last token stand for


class Tokenizer(Protocol):
    """What turns samples into parallel codebooks and back.

    rate: samples per second; frame_rate: frames per second; codebooks K; size: codes per codebook V.
    """

    rate: int
    frame_rate: float
    codebooks: int
    size: int

    def encode(self, wave: np.ndarray) -> np.ndarray:
        """Samples [n] -> codes [K, T], integers in 0..V-1."""

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes [K, T] -> samples."""


def check_codes(codes: np.ndarray, codebooks: int, size: int) -> np.ndarray:
    """The codes as integers [K, T]. Raises BookError for another shape, no frame, or a code outside 0..V-1."""
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.shape[0] != codebooks or not codes.shape[1]:
        raise BookError(f"codes have shape {list(codes.shape)}; give [{codebooks}, T] with at least one frame")
    if codes.min() < 0 or codes.max() >= size:
        raise BookError(f"codes run from {codes.min()} to {codes.max()}; this codec has 0 to {size - 1}")
    return codes.astype(np.int64)


@dataclass(frozen=True)
class ResidualVQCodec:
    """Residual vector quantisation of log-mel frames, and one codebook of pitch.

    tables: [K - 1, V, bands] float32, centroids of each stage, on frames from which `mean` [bands] is taken.
    Source: Zeghidour et al., SoundStream (2021), section III-C, for residual quantisation. Used by chapters 09 and 10.
    """

    tables: np.ndarray
    mean: np.ndarray
    mel: MelConfig = MEL

    def __post_init__(self) -> None:
        fits = self.tables.ndim == 3 and self.tables.shape[2] == self.mel.bands and self.mean.shape == (self.mel.bands,)
        if not fits:
            shapes = f"tables {list(self.tables.shape)} and mean {list(self.mean.shape)}"
            raise BookError(f"{shapes} do not fit {self.mel.bands} bands; give [K - 1, V, bands] and [bands]")

    @property
    def rate(self) -> int:
        """Samples per second."""
        return self.mel.rate

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.mel.rate / self.mel.hop

    @property
    def codebooks(self) -> int:
        """Codebooks K: the stages, and pitch."""
        return len(self.tables) + 1

    @property
    def size(self) -> int:
        """Codes per codebook V."""
        return self.tables.shape[1]

    def encode(self, wave: np.ndarray) -> np.ndarray:
        """Samples [n] -> codes [K, ceil(n / hop)]. Raises BookError for anything but one channel."""
        return self.encode_frames(framed(wave, self.mel))

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        """Windows of samples [T, window] -> codes [K, T]; no frame looks at another."""
        stages = self.quantise(log_mel_of_frames(frames, self.mel))
        hertz, _ = pitch_of_frames(frames, self.mel)
        return np.concatenate((stages, self.pitch_codes(hertz)[None]))

    def quantise(self, log_mel: np.ndarray) -> np.ndarray:
        """Log-mel frames [T, bands] -> codes [K - 1, T]: nearest centroid, subtract, next stage."""
        rest = (log_mel - self.mean).astype(np.float32)
        codes = np.empty((len(self.tables), len(rest)), np.int64)
        for stage, table in enumerate(self.tables):
            codes[stage] = ((table**2).sum(1) - 2 * rest @ table.T).argmin(1)
            rest = rest - table[codes[stage]]
        return codes

    def log_mel(self, codes: np.ndarray) -> np.ndarray:
        """Codes [K, T] -> log-mel frames [T, bands]."""
        return self.mean + sum(table[row] for table, row in zip(self.tables, codes[:-1], strict=True))

    def pitch_codes(self, hertz: np.ndarray) -> np.ndarray:
        """Pitch [T] in Hz, 0 unvoiced -> codes [T]: 0, or 1..V-1 evenly spaced in octaves."""
        octaves = np.log2(np.maximum(hertz, LOW) / LOW) / np.log2(HIGH / LOW)
        return np.where(hertz > 0, 1 + np.rint((self.size - 2) * np.clip(octaves, 0, 1)), 0).astype(np.int64)

    def pitch(self, codes: np.ndarray) -> np.ndarray:
        """Codes [K, T] -> pitch [T] in Hz, 0 unvoiced."""
        step = np.log2(HIGH / LOW) / (self.size - 2)
        return np.where(codes[-1] > 0, LOW * 2 ** ((codes[-1] - 1) * step), 0)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes [K, T] -> samples [T * hop], float32, cut at -1 and 1. Raises BookError for codes that are none."""
        stream = DecoderStream(self)
        return np.append(stream.push(codes), stream.flush())

    def decode_griffin_lim(self, codes: np.ndarray, iterations: int = 60) -> np.ndarray:
        """The same codes without their pitch, phases guessed: what the eighth codebook is compared with."""
        codes = check_codes(codes, self.codebooks, self.size)
        return np.clip(griffin_lim(self.log_mel(codes), self.mel, iterations=iterations), -1, 1).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write tables and mean as fp16 safetensors."""
        from safetensors.numpy import save_file

        save_file({"tables": self.tables.astype(np.float16), "mean": self.mean.astype(np.float16)}, path)

    @classmethod
    def load(cls, path: Path) -> ResidualVQCodec:
        """Read what `save` wrote. Raises BookError when the file is missing."""
        from safetensors.numpy import load_file

        if not Path(path).is_file():
            raise BookError(
                f"no codec at {path}; make it with `make prepare`, or fit one with lib.trainers.residual_vq"
            )
        held = load_file(path)
        return cls(held["tables"].astype(np.float32), held["mean"].astype(np.float32))


class EncoderStream:
    """Encodes samples as they come: the codes are those of `encode` on the whole."""

    def __init__(self, codec: ResidualVQCodec) -> None:
        self.codec = codec
        self.buffer = np.zeros(codec.mel.lead, np.float32)
        self.due = 0

    def push(self, wave: np.ndarray) -> np.ndarray:
        """Take in samples [n]; return the codes [K, t] of the frames whose windows are full."""
        self.due += len(wave)
        self.buffer = np.append(self.buffer, np.asarray(wave, np.float32))
        return self._ready(max(0, 1 + (len(self.buffer) - self.codec.mel.window) // self.codec.mel.hop))

    def flush(self) -> np.ndarray:
        """The codes [K, t] of the last frames, with silence after the end."""
        count = -(-self.due // self.codec.mel.hop)
        self.buffer = np.append(self.buffer, np.zeros(self.codec.mel.window, np.float32))
        return self._ready(count)

    def _ready(self, count: int) -> np.ndarray:
        mel = self.codec.mel
        if not count:
            return np.zeros((self.codec.codebooks, 0), np.int64)
        windows = np.lib.stride_tricks.sliding_window_view(self.buffer, mel.window)[:: mel.hop][:count]
        codes = self.codec.encode_frames(windows)
        self.buffer = self.buffer[count * mel.hop :]
        self.due -= count * mel.hop
        return codes


class DecoderStream:
    """Decodes codes as they come, less than four frames late: the samples are those of `decode` on the whole."""

    def __init__(self, codec: ResidualVQCodec) -> None:
        self.codec = codec
        self.vocoder = Vocoder(codec.mel)

    def push(self, codes: np.ndarray) -> np.ndarray:
        """Take in codes [K, t]; return the samples that are certain now."""
        codes = check_codes(codes, self.codec.codebooks, self.codec.size)
        return self._cut(self.vocoder.push(self.codec.log_mel(codes), self.codec.pitch(codes)))

    def flush(self) -> np.ndarray:
        """The samples that are left."""
        return self._cut(self.vocoder.flush())

    def _cut(self, wave: np.ndarray) -> np.ndarray:
        return np.clip(wave, -1, 1).astype(np.float32)
