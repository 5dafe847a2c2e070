"""Peers of a band and a CSP: a filter bank, and covariances as points of a curved space (chapter 03, "Measure it")."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from lib.analysis.spatial_filters import CSP, BandPass, as_covariances, covariances, principal_basis, shrunk
from lib.errors import BookError


def band_covariances(epochs: np.ndarray, bands: Sequence[tuple[float, float]], rate: float) -> np.ndarray:
    """Covariances [n, B, C, C] of epochs [n, C, T] in each of B bands (low, high) Hz. No label is seen: not a leak."""
    return np.stack([covariances(BandPass(*band, rate).fit(epochs).transform(epochs)) for band in bands], axis=1)


class FilterBankCSP(TransformerMixin, BaseEstimator):
    """CSP in each band, then the `keep` features that say most about the class (mutual information), [n, keep].

    Takes band covariances [n, B, C, C]. A filter bank needs no subject's band: the peer of band-by-spectrum.
    Ang et al. 2008, IJCNN; chapter 03.
    """

    def __init__(self, n_components: int = 4, shrinkage: float = 0.05, keep: int = 4, seed: int = 0):
        self.n_components = n_components
        self.shrinkage = shrinkage
        self.keep = keep
        self.seed = seed

    def fit(self, data: np.ndarray, labels: np.ndarray) -> FilterBankCSP:
        """Fit a CSP in each band and choose features, both on these trials alone."""
        from sklearn.feature_selection import mutual_info_classif

        if np.ndim(data) != 4:
            raise BookError(f"data have shape {np.shape(data)}; give band covariances [n, B, C, C]")
        self.csps_ = [
            CSP(self.n_components, self.shrinkage).fit(data[:, band], labels) for band in range(np.shape(data)[1])
        ]
        scores = mutual_info_classif(self._all(data), labels, random_state=self.seed)
        self.chosen_ = np.sort(np.argsort(-scores, kind="stable")[: self.keep])
        return self

    def _all(self, data: np.ndarray) -> np.ndarray:
        return np.hstack([csp.transform(data[:, band]) for band, csp in enumerate(self.csps_)])

    def transform(self, data: np.ndarray) -> np.ndarray:
        """The chosen features [n, keep]."""
        return self._all(data)[:, self.chosen_]


class Restrict(TransformerMixin, BaseEstimator):
    """Covariances [n, r, r] in the r directions in which the training trials have variance, each shrunk.

    What a Riemannian method needs, whose logarithm does not exist for a missing direction.
    """

    def __init__(self, shrinkage: float = 0.05):
        self.shrinkage = shrinkage

    def fit(self, data: np.ndarray, labels: np.ndarray | None = None) -> Restrict:
        """Find the directions."""
        self.basis_ = principal_basis(as_covariances(data).mean(axis=0))
        return self

    def transform(self, data: np.ndarray) -> np.ndarray:
        """Covariances between the directions."""
        return shrunk(self.basis_.T @ as_covariances(data) @ self.basis_, self.shrinkage)


def riemannian(shrinkage: float = 0.05, penalty: float = 1.0) -> BaseEstimator:
    """The peer without filters: covariances as points of a curved space, their tangent space, a logistic regression.

    An unfitted pipeline over pyriemann, for epochs [n, C, T] or covariances [n, C, C]; its classes weigh alike.
    penalty: inverse strength of the 2-norm. Barachant et al. 2012, IEEE TBME; chapter 03.
    """
    from pyriemann.tangentspace import TangentSpace
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    line = LogisticRegression(C=penalty, class_weight="balanced", max_iter=2000)
    return make_pipeline(Restrict(shrinkage), TangentSpace(metric="riemann"), StandardScaler(), line)
