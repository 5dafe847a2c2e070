"""Common spatial patterns and the filters around them, as scikit-learn estimators (chapter 03, "Build it").

Whatever looks at data or labels is fitted by `fit`, so that a cross-validation can refit it inside each fold. Epochs
are [n, C, T] (trials, channels, samples); covariances are [n, C, C] and need no labels, so they may be computed once.

Data after an average reference have C - 1 dimensions. A ridge added to one side of the generalised eigenproblem alone
then selects the missing direction, where there is nothing to see; here both classes are first restricted to the
directions in which their mean has variance, and both are shrunk.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin

from lib.errors import BookError

RANK_TOLERANCE = 1e-9  # of the largest eigenvalue; the missing direction of float64 data lies near 1e-16
Order = Literal["extreme", "alternate"]


def covariances(epochs: np.ndarray, *, normalise: bool = False) -> np.ndarray:
    """Second moments X X' / T of epochs [..., C, T], float64 [..., C, C]; with `normalise` each has trace 1.

    Band-passed epochs have mean 0 up to their edges, so nothing is subtracted (as in mne.decoding.CSP).
    Raises BookError for fewer than two dimensions, no sample, or a flat epoch that has no trace to divide by.
    """
    epochs = np.asarray(epochs, dtype=float)
    if epochs.ndim < 2 or epochs.shape[-1] == 0:
        raise BookError(f"epochs have shape {epochs.shape}; give [trials, channels, samples] with at least one sample")
    found = epochs @ epochs.swapaxes(-1, -2) / epochs.shape[-1]
    if not normalise:
        return found
    traces = np.trace(found, axis1=-2, axis2=-1)
    if not np.all(traces > 0):
        raise BookError(f"{int(np.sum(~(traces > 0)))} epochs are flat and cannot be normalised; drop them first")
    return found / traces[..., None, None]


def as_covariances(data: np.ndarray) -> np.ndarray:
    """Covariances [n, C, C] of what is given: symmetric square matrices as they are, epochs [n, C, T] turned into them.

    Raises BookError for another number of dimensions.
    """
    data = np.asarray(data, dtype=float)
    if data.ndim != 3:
        raise BookError(f"data have shape {data.shape}; give epochs [n, C, T] or covariances [n, C, C]")
    square = data.shape[1] == data.shape[2]
    if square and np.allclose(data, data.swapaxes(1, 2), rtol=1e-9, atol=1e-12 * np.abs(data).max(initial=0)):
        return data
    return covariances(data)


def principal_basis(covariance: np.ndarray, tolerance: float = RANK_TOLERANCE) -> np.ndarray:
    """Orthonormal columns [C, r] spanning the directions in which a covariance [C, C] has variance.

    A direction counts when its eigenvalue exceeds `tolerance` of the largest. Raises BookError if none does.
    """
    values, vectors = np.linalg.eigh(covariance)
    kept = values > tolerance * max(values[-1], 0.0)
    if not kept.any() or not np.isfinite(values).all():
        raise BookError("the data are flat or not finite; no direction has variance to filter")
    return vectors[:, kept]


def shrunk(covariance: np.ndarray, shrinkage: float) -> np.ndarray:
    """(1 - s) C + s (tr C / r) I for covariances [..., r, r] of full rank and s in [0, 1]."""
    if shrinkage == 0:
        return covariance
    size = covariance.shape[-1]
    level = np.trace(covariance, axis1=-2, axis2=-1) / size
    return (1 - shrinkage) * covariance + shrinkage * level[..., None, None] * np.eye(size)


def common_spatial_patterns(
    first: np.ndarray, second: np.ndarray, *, shrinkage: float = 0.0, basis: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All filters that tell two covariances [C, C] apart: (shares [r], filters [r, C], patterns [r, C]).

    Solves S2 w = share (S1 + S2) w in the r directions of `basis` [C, r] (by default those of the mean of both): the
    variance of w'x in the second class is `share` of that in both, and 1 in both together. Shares ascend. A pattern is
    (S1 + S2) w: what the scalp shows when the source behind the filter is active (Haufe et al. 2014).
    """
    from scipy.linalg import eigh

    basis = principal_basis(first + second) if basis is None else basis
    small = [shrunk(basis.T @ one @ basis, shrinkage) for one in (first, second)]
    shares, vectors = eigh(small[1], small[0] + small[1], check_finite=False)
    patterns = basis @ (small[0] + small[1]) @ vectors
    signs = np.where(np.sum(patterns**3, axis=0) < 0, -1.0, 1.0)  # the heavier side of a map is positive
    return shares, (basis @ vectors * signs).T, (patterns * signs).T


def ordered(shares: np.ndarray, order: Order) -> np.ndarray:
    """Indices of filters, best first: by distance of the share from a half, or largest, smallest, second largest..."""
    if order == "extreme":
        return np.argsort(-np.abs(shares - 0.5), kind="stable")
    if order != "alternate":
        raise BookError(f"order={order!r}; choose 'extreme' or 'alternate'")
    ascending = np.argsort(shares, kind="stable")
    half = len(shares) // 2
    picked = np.empty(len(shares), dtype=int)
    picked[1::2], picked[0::2] = ascending[:half], ascending[half:][::-1]
    return picked


def two_classes(labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(classes [2], membership of the second class, bool [n]); raises BookError for other numbers of either."""
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise BookError(f"labels have shape {labels.shape}; give one for each of {count} trials")
    classes = np.unique(labels)
    if len(classes) != 2:
        raise BookError(f"labels hold {len(classes)} classes; common spatial patterns tell two apart")
    return classes, labels == classes[1]


class CSP(TransformerMixin, BaseEstimator):
    """Common spatial patterns: log variance [n, n_components] behind filters fitted to two classes of trials.

    Takes epochs [n, C, T] or covariances [n, C, C], the same answer for both. With shrinkage 0 the features are those
    of mne.decoding.CSP, up to the one moment that it subtracts when it averages. After `fit`: `shares_` [r] (of the
    variance, in the second class), `filters_` and `patterns_` [r, C], best first. Raises BookError for other than two
    classes or settings out of range.
    Blankertz et al. 2008, IEEE Signal Processing Magazine; chapter 03.
    """

    def __init__(
        self,
        n_components: int = 4,
        shrinkage: float = 0.05,
        order: Order = "extreme",
        normalise: bool = False,
        log: bool = True,
    ):
        """normalise: divide each trial's covariance by its trace when fitting, so that loud trials do not rule."""
        self.n_components = n_components
        self.shrinkage = shrinkage
        self.order = order
        self.normalise = normalise
        self.log = log

    def fit(self, data: np.ndarray, labels: np.ndarray) -> CSP:
        """Find the filters. labels [n]: two classes."""
        if self.n_components < 1 or not 0 <= self.shrinkage <= 1:
            raise BookError(
                f"n_components={self.n_components}, shrinkage={self.shrinkage}; give at least 1 and a share in [0, 1]"
            )
        covs = as_covariances(data)
        self.classes_, second = two_classes(labels, len(covs))
        if self.normalise:
            covs = covs / np.trace(covs, axis1=1, axis2=2)[:, None, None]
        means = covs[~second].mean(axis=0), covs[second].mean(axis=0)
        shares, filters, patterns = common_spatial_patterns(*means, shrinkage=self.shrinkage)
        if self.n_components > len(shares):
            raise BookError(f"n_components={self.n_components}; the data have {len(shares)} directions")
        best = ordered(shares, self.order)
        self.shares_, self.filters_, self.patterns_ = shares[best], filters[best], patterns[best]
        return self

    def transform(self, data: np.ndarray) -> np.ndarray:
        """Log variance (variance if `log` is off) behind the best filters, float64 [n, n_components]."""
        return filtered_power(as_covariances(data), self.filters_[: self.n_components], log=self.log)


def filtered_power(covs: np.ndarray, filters: np.ndarray, *, log: bool = True) -> np.ndarray:
    """w' C w for covariances [n, C, C] and filters [k, C]: float64 [n, k], its logarithm by default."""
    count, size = len(covs), covs.shape[-1]
    halves = (covs.reshape(-1, size) @ filters.T).reshape(count, size, len(filters))
    power = np.einsum("ncf,fc->nf", halves, filters)
    return np.log(power) if log else power


class BandPass(TransformerMixin, BaseEstimator):
    """Keep low to high Hz of epochs [..., T] sampled at `rate` Hz: Butterworth, forward and back, so without delay.

    Looks at no label and at one epoch at a time. Raises BookError for a band outside 0 to rate / 2, or too few samples.
    """

    def __init__(self, low: float, high: float, rate: float, order: int = 4):
        self.low = low
        self.high = high
        self.rate = rate
        self.order = order

    def fit(self, epochs: np.ndarray, labels: np.ndarray | None = None) -> BandPass:
        """Design the filter."""
        from scipy.signal import butter

        if not 0 < self.low < self.high < self.rate / 2:
            raise BookError(
                f"band {self.low:g} to {self.high:g} Hz at {self.rate:g} Hz; give 0 < low < high < rate / 2"
            )
        self.sections_ = butter(self.order, (self.low, self.high), "bandpass", fs=self.rate, output="sos")
        return self

    def transform(self, epochs: np.ndarray) -> np.ndarray:
        """Epochs of the same shape, filtered along the last axis."""
        from scipy.signal import sosfiltfilt

        try:
            return sosfiltfilt(self.sections_, epochs, axis=-1)
        except ValueError as error:
            raise BookError(f"epochs of {epochs.shape[-1]} samples are too short to filter ({error})") from None


class PairedDiscriminant(ClassifierMixin, BaseEstimator):
    """Linear discriminant of two classes with equal priors, in closed form; `decision_function` is > 0 for the second.

    On features [n, k] with k small; the scores of scikit-learn's LinearDiscriminantAnalysis(solver="lsqr",
    priors=[.5, .5]). Chapter 03 uses it where a forest would be refitted thousands of times.
    """

    def fit(self, features: np.ndarray, labels: np.ndarray) -> PairedDiscriminant:
        """Class means and their pooled covariance."""
        self.classes_, second = two_classes(labels, len(features))
        means = features[~second].mean(axis=0), features[second].mean(axis=0)
        spread = sum(np.cov(features[member].T, bias=True) for member in (~second, second)) / 2
        self.coef_ = np.linalg.solve(np.atleast_2d(spread), means[1] - means[0])
        self.intercept_ = -self.coef_ @ (means[0] + means[1]) / 2
        return self

    def decision_function(self, features: np.ndarray) -> np.ndarray:
        """Signed distance [n] from the line between the classes."""
        return features @ self.coef_ + self.intercept_

    def predict(self, features: np.ndarray) -> np.ndarray:
        """The class on whose side each row lies."""
        return self.classes_[(self.decision_function(features) > 0).astype(int)]


def auroc(positive: np.ndarray, scores: np.ndarray) -> float:
    """The chance that a positive trial scores above another one, ties counted half. positive: bool [n]; scores [n].

    Raises BookError when there is no positive trial or no other.
    """
    from scipy.stats import rankdata

    count = int(np.count_nonzero(positive))
    others = len(positive) - count
    if not count or not others:
        raise BookError(f"{count} positive trials among {len(positive)}; the area needs both kinds")
    return float((rankdata(scores)[positive].sum() - count * (count + 1) / 2) / (count * others))


def permutation_scores(
    covs: np.ndarray,
    labels: np.ndarray,
    *,
    permutations: int = 100,
    folds: int = 5,
    n_components: int = 4,
    shrinkage: float = 0.05,
    leaky: bool = False,
    seed: int = 0,
) -> tuple[float, np.ndarray]:
    """Cross-validated AUROC of CSP and a linear discriminant, and the same for shuffled labels: (observed, null [P]).

    covs: [n, C, C], computed once: no label is in them. Every fold and permutation then costs one sum of covariances,
    one small eigenproblem and one product. A score is the mean over stratified folds. leaky: the filters see all
    trials, the classifier only its training folds: what a CSP outside the cross-validation does.
    Equal to CSP(...) and PairedDiscriminant refitted by scikit-learn (a test compares). Chapter 03, "The leak".
    """
    _, second = two_classes(labels, len(covs))
    generator = np.random.default_rng(seed)
    flat = np.ascontiguousarray(covs, dtype=float).reshape(len(covs), -1)
    orders = [np.arange(len(covs)), *(generator.permutation(len(covs)) for _ in range(permutations))]
    settings = {"folds": folds, "n_components": n_components, "shrinkage": shrinkage, "leaky": leaky, "seed": seed}
    scores = [_cross_validated(flat, second[order], **settings) for order in orders]
    return scores[0], np.array(scores[1:])


def _cross_validated(
    flat: np.ndarray, second: np.ndarray, folds: int, n_components: int, shrinkage: float, leaky: bool, seed: int
) -> float:
    """Mean AUROC over folds. flat: covariances [n, C * C]; second: bool [n]."""
    from sklearn.model_selection import StratifiedKFold

    size = int(np.sqrt(flat.shape[1]))
    splits = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(flat, second))
    seen = np.ones((folds, len(flat)), dtype=bool)
    if not leaky:
        for fold, (_, held_out) in enumerate(splits):
            seen[fold, held_out] = False
    weights = np.concatenate([seen & ~second, seen & second]).astype(float)
    means = (weights / weights.sum(axis=1, keepdims=True)) @ flat
    filters = []
    for fold in range(1 if leaky else folds):
        first, other = means[fold].reshape(size, size), means[folds + fold].reshape(size, size)
        shares, rows, _ = common_spatial_patterns(first, other, shrinkage=shrinkage)
        filters.append(rows[ordered(shares, "extreme")[:n_components]])
    stacked = np.concatenate(filters)
    power = np.log(flat @ np.einsum("fa,fb->fab", stacked, stacked).reshape(len(stacked), -1).T)
    found = []
    for fold, (train, held_out) in enumerate(splits):
        start = 0 if leaky else fold * n_components
        features = power[:, start : start + n_components]
        judge = PairedDiscriminant().fit(features[train], second[train])
        found.append(auroc(second[held_out], judge.decision_function(features[held_out])))
    return float(np.mean(found))
