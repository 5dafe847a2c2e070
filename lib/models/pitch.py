"""Pitch and voicing, frame by frame, from the autocorrelation of the samples."""

from __future__ import annotations

from functools import cache

import numpy as np

from lib.models.log_mel import MelConfig, framed, hann

LOWEST, HIGHEST = 60.0, 450.0  # Hz: the voices of adults
CEILING = 2_000.0  # Hz: above this the spectrum is left out, where breath outweighs the voice
OCTAVE_COST = 0.02  # of correlation per octave: half the pitch correlates as well, so the higher one wins
VOICED = 0.5  # smallest correlation of a voiced frame
QUIET = 1e-5  # smallest mean square of a voiced frame


@cache
def window_correlation(length: int) -> np.ndarray:
    """Autocorrelation of the Hann window at lags 0 to length - 1, divided by its value at 0."""
    spectrum = np.fft.rfft(hann(length), 2 * length)
    correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:length]
    return correlation / correlation[0]


def pitch(wave: np.ndarray, config: MelConfig) -> tuple[np.ndarray, np.ndarray]:
    """Pitch in Hz, 0 in unvoiced frames, and the correlation that decided, each [frames], of samples [n].

    Source: Boersma, Accurate short-term analysis of the fundamental frequency (1993), without its path search, so that
    a frame needs no other frame. Used by chapters 09 and 10.
    """
    return pitch_of_frames(framed(wave, config), config)


def pitch_of_frames(frames: np.ndarray, config: MelConfig) -> tuple[np.ndarray, np.ndarray]:
    """Pitch and correlation, each [frames], of frames [frames, window]."""
    parts = [_pitch(frames[i : i + 2048], config) for i in range(0, len(frames), 2048)]
    hertz, strength = (np.concatenate(part) for part in zip(*parts, strict=True))
    return hertz, strength


def _pitch(frames: np.ndarray, config: MelConfig) -> tuple[np.ndarray, np.ndarray]:
    centred = frames - frames.mean(1, keepdims=True)
    power = np.abs(np.fft.rfft(centred * hann(config.window).astype(np.float32), 2 * config.window)) ** 2
    power[:, np.fft.rfftfreq(2 * config.window, 1 / config.rate) > CEILING] = 0
    shortest, longest = int(config.rate / HIGHEST), int(config.rate / LOWEST) + 2
    correlation = np.fft.irfft(power)[:, : longest + 1]
    energy = np.maximum(correlation[:, :1], 1e-12)
    correlation = correlation / energy / window_correlation(config.window)[: longest + 1]
    lags = np.arange(shortest, longest)
    middle = correlation[:, lags]
    peak = (middle >= correlation[:, lags - 1]) & (middle > correlation[:, lags + 1])
    score = np.where(peak, middle - OCTAVE_COST * np.log2(lags * HIGHEST / config.rate), -np.inf)
    best = score.argmax(1)
    rows = np.arange(len(frames))
    left, top, right = (correlation[rows, lags[best] + shift] for shift in (-1, 0, 1))
    bend = left - 2 * top + right
    shift = np.where(np.abs(bend) > 1e-9, 0.5 * (left - right) / np.where(bend == 0, 1, bend), 0)
    strength = np.where(peak.any(1), np.clip(top, 0, 1), 0)
    voiced = (strength >= VOICED) & ((centred**2).mean(1) >= QUIET)
    return np.where(voiced, config.rate / (lags[best] + np.clip(shift, -0.5, 0.5)), 0), strength
