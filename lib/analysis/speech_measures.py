"""Does it sound like speech? Numbers for what the posts left to the ear, and distances between two recordings.

Each measure is of the waveform alone, so that it can be taken of samples, of real speech, and of what should not pass:
the same tokens in another order, tokens drawn at random, noise. A measure counts only where it tells those apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib.analysis.speech_detector import speech_probability
from lib.errors import BookError
from lib.models.log_mel import MelConfig, framed, hann, log_mel
from lib.models.pitch import pitch

MEL = MelConfig()
CEPSTRA = 13
FAST = (12.0, 37.5)  # Hz: faster than any mouth moves; speech modulates at 2 to 8
SLOWEST = 1.0  # Hz: below it there is only the length of the clip


def log_spectral_distance(one: np.ndarray, other: np.ndarray, mel: MelConfig = MEL) -> float:
    """Mean over frames of the root mean square difference of log spectra, in dB, of two aligned waves [n].

    Magnitudes below -80 dB of the loudest bin of `one` count as that. Source: Gray and Markel, Distance measures for
    speech processing (1976). Used by chapter 10.
    """
    spectra = [np.abs(np.fft.rfft(framed(wave, mel) * hann(mel.window))) for wave in trimmed(one, other)]
    floor = 1e-4 * spectra[0].max()
    levels = [20 * np.log10(np.maximum(spectrum, floor)) for spectrum in spectra]
    return float(np.sqrt(((levels[0] - levels[1]) ** 2).mean(1)).mean())


def mel_cepstral_distortion(one: np.ndarray, other: np.ndarray, mel: MelConfig = MEL) -> float:
    """Mean over frames of (10 sqrt(2) / ln 10) |c - c'|, in dB, over cepstra 1 to 13 of two aligned waves [n].

    Source: Kubichek, Mel-cepstral distance measure (1993). Used by chapter 10.
    """
    first, second = (cepstra(wave, mel) for wave in trimmed(one, other))
    return float(10 * np.sqrt(2) / np.log(10) * np.linalg.norm(first - second, axis=1).mean())


def trimmed(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two waves cut to the shorter length."""
    length = min(len(one), len(other))
    return one[:length], other[:length]


def cepstra(wave: np.ndarray, mel: MelConfig = MEL) -> np.ndarray:
    """Mel cepstra 1 to 13 [frames, 13]: c_k = 1/M sum_m level_m cos(pi k (m + 1/2) / M), levels in nepers, M bands."""
    from scipy.fft import dct

    return dct(log_mel(wave, mel), axis=1, norm="ortho")[:, 1 : CEPSTRA + 1] / np.sqrt(2 * mel.bands)


def fast_modulation_share(wave: np.ndarray, mel: MelConfig = MEL) -> float:
    """Share of the power of band levels over time that lies between 12 and 37.5 Hz, of all above 1 Hz.

    Levels are log-mel; a mouth moves slower than 12 Hz, and frames drawn without regard to each other do not. A wave
    whose levels never move has share 0. Source: after Houtgast and Steeneken (1985). Used by chapter 09.
    """
    levels = log_mel(wave, mel)
    levels = levels - levels.mean(0)
    power = np.abs(np.fft.rfft(levels * hann(len(levels))[:, None], axis=0)) ** 2
    hertz = np.fft.rfftfreq(len(levels), mel.hop / mel.rate)
    total = power[hertz >= SLOWEST].sum()
    return float(power[(hertz >= FAST[0]) & (hertz <= FAST[1])].sum() / total) if total > 1e-9 else 0.0


def voiced_share(wave: np.ndarray, mel: MelConfig = MEL) -> float:
    """Share of frames with a pitch. Used by chapter 09."""
    return float((pitch(wave, mel)[0] > 0).mean())


def median_pitch(wave: np.ndarray, mel: MelConfig = MEL) -> float:
    """Median pitch in Hz of the voiced frames; 0 when none is voiced. Used by chapter 09."""
    hertz = pitch(wave, mel)[0]
    return float(np.median(hertz[hertz > 0])) if (hertz > 0).any() else 0.0


def steady_pitch_share(wave: np.ndarray, mel: MelConfig = MEL) -> float:
    """Share of frames that are voiced and within 6 % of the pitch of the frame before. Used by chapter 09."""
    hertz = pitch(wave, mel)[0]
    both = (hertz[1:] > 0) & (hertz[:-1] > 0)
    ratio = np.log2(np.where(both, hertz[1:], 1) / np.where(both, hertz[:-1], 1))
    return float((both & (np.abs(ratio) < np.log2(1.06))).mean()) if len(hertz) > 1 else 0.0


def frechet_distance(waves: Sequence[np.ndarray], others: Sequence[np.ndarray], mel: MelConfig = MEL) -> float:
    """Distance of two Gaussians fitted to cepstra and their slopes, pooled over each set of waves.

    |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)). It is not 0 for two halves of one set: give that floor beside it.
    Source: Heusel et al., GANs trained by a two time-scale update rule (2017). Used by chapter 09.
    """
    from scipy.linalg import sqrtm

    means, covariances = [], []
    for group in (waves, others):
        rows = np.concatenate([_with_slopes(cepstra(wave, mel)) for wave in group])
        means.append(rows.mean(0))
        covariances.append(np.cov(rows.T) + 1e-8 * np.eye(rows.shape[1]))
    root = np.real(sqrtm(covariances[0] @ covariances[1]))
    apart = ((means[0] - means[1]) ** 2).sum()
    return float(apart + np.trace(covariances[0] + covariances[1] - 2 * root))


def _with_slopes(rows: np.ndarray) -> np.ndarray:
    return np.concatenate((rows, np.gradient(rows, axis=0)), axis=1)


def speech_measures(waves: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> dict[str, float]:
    """All measures of a set of waves: means over the waves, and the distance of the set from a reference set."""
    each = {
        "fast_modulation": fast_modulation_share,
        "voiced": voiced_share,
        "steady_pitch": steady_pitch_share,
        "pitch": median_pitch,
        "speech_probability": speech_probability,
    }
    found = {name: float(np.mean([measure(wave) for wave in waves])) for name, measure in each.items()}
    return found | {"distance": frechet_distance(waves, reference)}


def null_codes(codes: np.ndarray, kind: str, size: int, generator: np.random.Generator) -> np.ndarray:
    """Codes [K, T] that should not pass for speech, made from real ones.

    kind: "frames shuffled" keeps every frame and loses their order; "codes shuffled" shuffles each codebook by itself,
    which keeps how often each code comes; "uniform" draws every code alike; "frame held" repeats one voiced frame (one
    whose last code, of pitch, is not 0) to the end.
    """
    if kind == "frames shuffled":
        return codes[:, generator.permutation(codes.shape[1])]
    if kind == "codes shuffled":
        return np.stack([generator.permutation(row) for row in codes])
    if kind == "uniform":
        return generator.integers(0, size, codes.shape)
    if kind == "frame held":
        voiced = np.flatnonzero(codes[-1])
        if not len(voiced):
            raise BookError("no frame of these codes is voiced; a drone needs one that is")
        return np.repeat(codes[:, [generator.choice(voiced)]], codes.shape[1], axis=1)
    raise BookError(f"kind={kind!r}; use 'frames shuffled', 'codes shuffled', 'uniform' or 'frame held'")
