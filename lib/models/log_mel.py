"""Log-mel spectra of speech: 75 frames a second, what a codec quantises and what distances compare."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from lib.errors import BookError


@dataclass(frozen=True)
class MelConfig:
    """How a waveform becomes frames. 24,000 samples and a hop of 320 give exactly 75 frames a second."""

    rate: int = 24_000
    """Samples per second."""
    hop: int = 320
    """Samples from frame to frame."""
    window: int = 1024
    """Samples that a frame sees, under a Hann window centred on its hop."""
    bands: int = 64
    """Triangular bands, evenly spaced in mel."""
    low: float = 50.0
    """Lower edge of the first band, in Hz."""
    floor: float = 2e-5
    """Smallest mean magnitude of a band; speech at its loudest has about one hundredth."""

    @property
    def lead(self) -> int:
        """Samples by which a frame's window begins before its hop."""
        return (self.window - self.hop) // 2


def hertz_to_mel(hertz: np.ndarray | float) -> np.ndarray | float:
    """2595 log10(1 + f / 700). Source: O'Shaughnessy, Speech Communication (1987), p. 150."""
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


@cache
def filterbank(config: MelConfig) -> np.ndarray:
    """Triangles [bands, window / 2 + 1], each of sum one, from `low` to half the rate."""
    edges = np.linspace(hertz_to_mel(config.low), hertz_to_mel(config.rate / 2), config.bands + 2)
    edges = 700 * (10 ** (edges / 2595) - 1)
    bins = np.fft.rfftfreq(config.window, 1 / config.rate)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    nearest = np.abs(bins - edges[1:-1, None]).argmin(1)
    empty = triangles.sum(1) == 0  # a triangle narrower than a bin takes the nearest bin
    triangles[empty, nearest[empty]] = 1
    return triangles / triangles.sum(1, keepdims=True)


@cache
def hann(length: int) -> np.ndarray:
    """The periodic Hann window, which overlap-add of its squares makes flat."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length)


def framed(wave: np.ndarray, config: MelConfig) -> np.ndarray:
    """Samples [n] -> frames [ceil(n / hop), window], silence beyond both ends.

    Raises BookError for anything but one channel of at least one sample.
    """
    wave = np.asarray(wave, dtype=np.float32)
    if wave.ndim != 1 or not len(wave):
        raise BookError(f"samples have shape {list(wave.shape)}; give one channel, shape [n], of at least one sample")
    count = -(-len(wave) // config.hop)
    padded = np.zeros((count - 1) * config.hop + config.window, np.float32)
    padded[config.lead : config.lead + len(wave)] = wave[: len(padded) - config.lead]
    return np.lib.stride_tricks.sliding_window_view(padded, config.window)[:: config.hop]


def log_mel(wave: np.ndarray, config: MelConfig) -> np.ndarray:
    """Natural log of mel magnitudes [frames, bands] of samples [n]. Used by chapters 09 and 10."""
    return log_mel_of_frames(framed(wave, config), config)


def log_mel_of_frames(frames: np.ndarray, config: MelConfig) -> np.ndarray:
    """Natural log of mel magnitudes [frames, bands] of frames [frames, window]."""
    taper = (hann(config.window) * 2 / config.window).astype(np.float32)
    parts = [np.abs(np.fft.rfft(frames[i : i + 2048] * taper)) for i in range(0, len(frames), 2048)]
    magnitude = np.concatenate(parts).astype(np.float32) @ filterbank(config).T.astype(np.float32)
    return np.log(np.maximum(magnitude, config.floor))
