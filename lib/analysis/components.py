"""The subject's own band: independent components, the one that the task modulates, its peak (chapter 03, "Build it").

Each step looks at data or labels, so each is fitted by `fit` and can be refitted inside a fold.
"""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from lib.analysis.source_recovery import topography
from lib.analysis.spatial_filters import RANK_TOLERANCE, BandPass, covariances, two_classes
from lib.analysis.spectra import BETA, Band, Spectrum, highest, peaks, power_spectra
from lib.errors import BookError

CLEAN = (1.0, 45.0)  # Hz, what the unmixing is learned on: no drift, no line noise
ROUNDS = 150  # of FastICA
TOLERANCE = 1e-3
Criterion = Literal["power", "evoked"]


def modulation(signals: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How far two classes of trials differ: the absolute Welch t of each column. signals [n, ...]; second bool [n]."""
    groups = signals[~second], signals[second]
    means = [group.mean(axis=0) for group in groups]
    errors = sum(group.var(axis=0, ddof=1) / len(group) for group in groups)
    return np.abs(means[1] - means[0]) / np.sqrt(errors)


class ComponentChoice(TransformerMixin, BaseEstimator):
    """Independent components of epochs [n, C, T], and the one that the task modulates most.

    criterion "power": the largest t between classes of the log power in `search` Hz; "evoked": the largest mean t of
    the trial averages. With `positions` [C, 3] the scalp map has a say, as in the post: a component with more than
    `limit` of its map's energy at the temples or at the front is left out (unless all are).
    After `fit`: `filters_` and `patterns_` [S, C], `scores_` [S], `allowed_` [S], `chosen_`, `converged_`.
    Raises BookError for other than two classes. FastICA (Hyvarinen 1999); chapter 03.
    """

    def __init__(
        self,
        rate: float,
        n_components: int = 15,
        criterion: Criterion = "power",
        search: tuple[float, float] = (13.0, 35.0),
        positions: np.ndarray | None = None,
        limit: float = 0.5,
        max_samples: int = 12_000,
        seed: int = 0,
    ):
        """max_samples: how many moments, evenly spaced, the unmixing is learned on."""
        self.rate = rate
        self.n_components = n_components
        self.criterion = criterion
        self.search = search
        self.positions = positions
        self.limit = limit
        self.max_samples = max_samples
        self.seed = seed

    def fit(self, epochs: np.ndarray, labels: np.ndarray) -> ComponentChoice:
        """Unmix, score every component, choose."""
        if self.criterion not in ("power", "evoked"):
            raise BookError(f"criterion={self.criterion!r}; choose 'power' or 'evoked'")
        _, second = two_classes(labels, len(epochs))
        self.unmix(epochs)
        sources = np.einsum("sc,nct->nst", self.filters_, epochs)
        self.scores_ = self.modulations(sources, second)
        self.allowed_ = self.plausible()
        self.chosen_ = int(np.argmax(np.where(self.allowed_, self.scores_, -np.inf)))
        return self

    def unmix(self, epochs: np.ndarray) -> ComponentChoice:
        """Learn `filters_` and `patterns_` [S, C], without labels."""
        from sklearn.decomposition import FastICA
        from sklearn.exceptions import ConvergenceWarning

        band = BandPass(CLEAN[0], min(CLEAN[1], 0.45 * self.rate), self.rate)
        clean = band.fit(epochs).transform(epochs).transpose(1, 0, 2).reshape(epochs.shape[1], -1).T
        clean = clean[:: max(1, len(clean) // self.max_samples)]
        clean = clean - clean.mean(axis=0)
        values, vectors = np.linalg.eigh(covariances(clean.T))
        count = min(self.n_components, int(np.sum(values > RANK_TOLERANCE * values[-1])))
        whitening = vectors[:, -count:] / np.sqrt(values[-count:])
        ica = FastICA(whiten=False, max_iter=ROUNDS, tol=TOLERANCE, random_state=self.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            ica.fit(clean @ whitening)
        self.converged_ = ica.n_iter_ < ROUNDS
        filters = ica.components_ @ whitening.T
        patterns = np.linalg.pinv(filters).T
        signs = np.where(np.sum(patterns**3, axis=1) < 0, -1.0, 1.0)[:, None]  # the heavier side of a map is positive
        self.filters_, self.patterns_ = filters * signs, patterns * signs
        return self

    def modulations(self, sources: np.ndarray, second: np.ndarray) -> np.ndarray:
        """The score [S] of each source. sources [n, S, T]; second: bool [n]."""
        if self.criterion == "evoked":
            return modulation(sources, second).mean(axis=-1)
        power = BandPass(*self.search, self.rate).fit(sources).transform(sources).var(axis=-1)
        return modulation(np.log(power), second)

    def plausible(self) -> np.ndarray:
        """Which components' maps are neither temporal nor frontal, bool [S]; all if none is, or without positions."""
        if self.positions is None:
            return np.ones(len(self.patterns_), dtype=bool)
        shares = [topography(pattern, self.positions) for pattern in self.patterns_]
        allowed = np.array([max(share["temporal"], share["frontal"]) <= self.limit for share in shares])
        return allowed if allowed.any() else np.ones_like(allowed)

    def transform(self, epochs: np.ndarray) -> np.ndarray:
        """The chosen component's time course, float64 [n, T]."""
        return np.einsum("c,nct->nt", self.filters_[self.chosen_], epochs)


class OwnBandPass(TransformerMixin, BaseEstimator):
    """Band-pass epochs [n, C, T] to the subject's own band: the highest peak of the chosen component in `search` Hz.

    After `fit`: `band_` (lib.analysis.spectra.Band), `spectrum_`, `choice_` (None when `choice` is None: the spectrum
    is then the mean over channels, what one has without unmixing). Where no peak stands out it is the `fallback`.
    """

    def __init__(
        self,
        rate: float,
        choice: ComponentChoice | None = None,
        search: tuple[float, float] = (13.0, 35.0),
        narrowest: float = 3.0,
        fallback: tuple[float, float] = BETA,
    ):
        self.rate = rate
        self.choice = choice
        self.search = search
        self.narrowest = narrowest
        self.fallback = fallback

    def fit(self, epochs: np.ndarray, labels: np.ndarray) -> OwnBandPass:
        """Choose the component, fit its spectrum, take the band."""
        from sklearn.base import clone

        self.choice_ = None if self.choice is None else clone(self.choice).fit(epochs, labels)
        signals = epochs if self.choice_ is None else self.choice_.transform(epochs)
        freqs, psd = power_spectra(signals, self.rate, seconds=min(2.0, signals.shape[-1] / self.rate))
        self.spectrum_: Spectrum = peaks(freqs, psd.reshape(-1, psd.shape[-1]).mean(axis=0))
        self.band_: Band = highest(self.spectrum_.peaks, self.search, narrowest=self.narrowest, fallback=self.fallback)
        self.filter_ = BandPass(self.band_.low, self.band_.high, self.rate).fit(epochs)
        return self

    def transform(self, epochs: np.ndarray) -> np.ndarray:
        """Epochs of the same shape, in the band."""
        return self.filter_.transform(epochs)
