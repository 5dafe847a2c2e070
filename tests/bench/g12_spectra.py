"""G12: spectral parameters: fooof and specparam one spectrum at a time, and screening of all spectra at once.

The two libraries are compared at their own defaults, which are the same and what the post's readers would run; the
screening and specparam at the settings of the chapter. All get the same spectra: lines of known exponent, at most two
peaks, noise, at the resolution of two-second windows.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator

import numpy as np
from threadpoolctl import threadpool_limits

from lib.analysis.spectra import peaks
from lib.analysis.spectral_screening import screen
from tests.bench.measure import Row, interleaved

SPECTRA, ONE_BY_ONE = 200, 40
FREQS = np.arange(1.0, 50.01, 0.5)
SPAN = (3.0, 40.0)


def spectra() -> np.ndarray:
    """Power spectra [N, F] with exponents of 0.7 to 2, an alpha and a beta peak most of the time, and noise."""
    rng = np.random.default_rng(0)
    level = 1 - rng.uniform(0.7, 2.0, (SPECTRA, 1)) * np.log10(FREQS)
    for low, high in ((7, 12), (14, 31)):
        centre, width = rng.uniform(low, high, (SPECTRA, 1)), rng.uniform(0.7, 2.0, (SPECTRA, 1))
        height = rng.uniform(0.2, 1.0, (SPECTRA, 1)) * (rng.random((SPECTRA, 1)) < 0.85)
        level += height * np.exp(-((FREQS - centre) ** 2) / (2 * width**2))
    return 10 ** (level + 0.03 * rng.normal(size=level.shape))


def by_defaults(library: str, model: str, psd: np.ndarray) -> None:
    """Fit each spectrum with a library's own defaults."""
    with warnings.catch_warnings(record=True):  # fooof announces its successor whatever the filters say
        for one in psd:
            getattr(importlib.import_module(library), model)(verbose=False).fit(FREQS, one, list(SPAN))


def rows() -> Iterator[Row]:
    psd = spectra()
    few = psd[:ONE_BY_ONE]
    with threadpool_limits(1):  # numpy's BLAS does not ask torch
        seconds = interleaved(
            {
                "fooof": lambda: by_defaults("fooof", "FOOOF", few),
                "specparam": lambda: by_defaults("specparam", "SpectralModel", few),
                "single": lambda: [peaks(FREQS, one, span=SPAN) for one in few],
                "screen": lambda: screen(FREQS, psd, span=SPAN),
            }
        )
    screened = seconds["screen"] * ONE_BY_ONE / SPECTRA
    single = np.array([peaks(FREQS, one, span=SPAN).exponent for one in psd])
    worst = np.quantile(np.abs(screen(FREQS, psd, span=SPAN).exponents - single), 0.99)
    yield Row(
        "G12", "a spectrum through fooof over one through specparam", seconds["fooof"] / seconds["specparam"], bar=3.5
    )
    yield Row("G12", "a spectrum through specparam over one screened", seconds["single"] / screened, bar=10)
    what = "exponents screened against specparam's, 99th percentile"
    yield Row("G12", what, float(worst), "", 0.02, at_least=False)
