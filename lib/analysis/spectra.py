"""Power spectra as a background line and peaks above it (chapter 03, "The idea").

On log axes the background of an electroencephalogram is close to a line, log10 P = offset - exponent * log10 f. What
rises above it are rhythms: peaks with a centre and a bandwidth (Donoghue et al. 2020, Nature Neuroscience). `peaks`
fits one spectrum with specparam; lib/analysis/spectral_screening.py fits thousands at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lib.errors import BookError

BETA = (13.0, 30.0)  # Hz, the textbook band
WIDTHS = (1.0, 8.0)  # Hz, bandwidths that a peak may have
LOWEST_PEAK = 0.1  # log10 power above the line: a quarter more than the background
STANDARD_DEVIATIONS = 2.0  # of the residual: how far a peak must stand out


@dataclass(frozen=True)
class Spectrum:
    """One parameterised spectrum.

    offset, exponent: of the line. peaks: [P, 3], centre (Hz), bandwidth (Hz, two standard deviations of the Gaussian)
    and height (log10 power above the line), by ascending centre.
    """

    offset: float
    exponent: float
    peaks: np.ndarray


@dataclass(frozen=True)
class Band:
    """A subject's band in Hz. found: whether a peak gave it; without one it is the band to fall back on."""

    low: float
    high: float
    found: bool

    @property
    def centre(self) -> float:
        """The middle of the band."""
        return (self.low + self.high) / 2

    def outside(self, other: tuple[float, float] = BETA) -> float:
        """The share of this band that lies outside another."""
        inside = max(0.0, min(self.high, other[1]) - max(self.low, other[0]))
        return 1 - inside / (self.high - self.low)


def power_spectra(signals: np.ndarray, rate: float, *, seconds: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Welch spectra of signals [..., T] at `rate` Hz: (freqs [F], power per Hz [..., F]).

    Windows of `seconds`, half overlapping, Hann. Raises BookError for signals shorter than one window.
    """
    from scipy.signal import welch

    window = round(seconds * rate)
    if np.shape(signals)[-1] < window:
        raise BookError(
            f"signals have {np.shape(signals)[-1]} samples, a window of {seconds:g} s has {window}; shorten it"
        )
    return welch(signals, fs=rate, nperseg=window, axis=-1)


def inside(freqs: np.ndarray, psd: np.ndarray, span: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """The part of spectra [..., F] within `span` Hz. Raises BookError when it is too small to fit or not positive."""
    freqs, psd = np.asarray(freqs, dtype=float), np.asarray(psd, dtype=float)
    kept = (freqs >= max(span[0], 1e-9)) & (freqs <= span[1])
    if psd.shape[-1:] != freqs.shape or kept.sum() < 8:
        raise BookError(
            f"spectra {psd.shape} on {freqs.shape} frequencies hold {kept.sum()} in {span} Hz; give 8 or more"
        )
    if not np.all(psd[..., kept] > 0):
        raise BookError("a spectrum holds a value that is not positive, which has no logarithm; drop flat signals")
    return freqs[kept], psd[..., kept]


def peaks(freqs: np.ndarray, psd: np.ndarray, *, span: tuple[float, float] = (3.0, 40.0), most: int = 6) -> Spectrum:
    """Fit one spectrum [F] (power, not its logarithm) with specparam: the line and at most `most` peaks.

    span: Hz to fit. Raises BookError for a spectrum that cannot be fitted.
    """
    from specparam import SpectralModel

    freqs, psd = inside(freqs, np.asarray(psd), span)
    if psd.ndim != 1:
        raise BookError(f"peaks takes one spectrum, not {psd.shape}; loop, or use screen")
    model = SpectralModel(
        peak_width_limits=WIDTHS,
        max_n_peaks=most,
        min_peak_height=LOWEST_PEAK,
        peak_threshold=STANDARD_DEVIATIONS,
        verbose=False,
    )
    model.fit(freqs, psd, [freqs[0], freqs[-1]])
    offset, exponent = model.get_params("aperiodic")
    found = np.asarray(model.get_params("periodic"), dtype=float).reshape(-1, 3)
    found = found[~np.isnan(found).any(axis=1)][:, [0, 2, 1]]
    return Spectrum(float(offset), float(exponent), found[np.argsort(found[:, 0])])


def subject_band(
    freqs: np.ndarray,
    psd: np.ndarray,
    search: tuple[float, float] = (13.0, 35.0),
    *,
    span: tuple[float, float] = (3.0, 40.0),
    narrowest: float = 3.0,
    fallback: tuple[float, float] = BETA,
) -> Band:
    """The band of the highest peak of a spectrum [F] whose centre lies in `search` Hz.

    One bandwidth wide around the centre, but at least `narrowest` Hz; the fallback where no peak stands out.
    """
    return highest(peaks(freqs, psd, span=span).peaks, search, narrowest=narrowest, fallback=fallback)


def highest(
    found: np.ndarray, search: tuple[float, float], *, narrowest: float = 3.0, fallback: tuple[float, float] = BETA
) -> Band:
    """The band of the highest of some peaks [P, 3] with its centre in `search` Hz, or the fallback."""
    eligible = found[(found[:, 0] >= search[0]) & (found[:, 0] <= search[1])]
    if not len(eligible):
        return Band(*fallback, found=False)
    centre, width, _ = eligible[np.argmax(eligible[:, 2])]
    half = max(width, narrowest) / 2
    return Band(centre - half, centre + half, found=True)
