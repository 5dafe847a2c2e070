"""Stops told from goes, with every step that looks at data refitted inside folds, and with named leaks (chapter 03).

An arm is one way to decode: which band, which leak, which classifier. All arms of a recording share the folds. A leak
lets a step see the test trials too: "csp" fits the spatial filters on all trials, "band" chooses component and band on
all trials. An honest arm has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lib.analysis.components import ComponentChoice, OwnBandPass
from lib.analysis.small_samples import precision_at, recall_at
from lib.analysis.spatial_filters import CSP, BandPass, PairedDiscriminant, auroc, covariances
from lib.analysis.spatial_peers import FilterBankCSP, band_covariances, riemannian
from lib.analysis.spectra import BETA, Band
from lib.errors import BookError

BANK = ((4.0, 8.0), (8.0, 12.0), (12.0, 16.0), (16.0, 20.0), (20.0, 24.0), (24.0, 28.0), (28.0, 32.0), (32.0, 36.0))
FALSE_POSITIVES = 0.2  # the rate at which recalls of two decoders are compared


@dataclass(frozen=True)
class Arm:
    """One way to decode."""

    band: Literal["broad", "own", "known", "bank", "curved"]
    """broad: 13 to 30 Hz. own: the component's peak. known: the band given. bank, curved: the peers, on BANK."""
    leak: frozenset[str] = frozenset()
    """What sees the test trials: "csp", "band"."""
    judge: Literal["forest", "line"] = "forest"
    """A random forest as in the post, or the linear discriminant."""

    def __post_init__(self) -> None:
        unknown = set(self.leak) - {"csp", "band"}
        if unknown or self.band not in ("broad", "own", "known", "bank", "curved"):
            raise BookError(f"arm {self.band!r} with leak {sorted(self.leak)}; see lib.analysis.decoding.Arm")


@dataclass(frozen=True)
class Settings:
    """What all arms share."""

    folds: int = 5
    """Of the stratified cross-validation."""
    n_components: int = 4
    """Spatial filters kept."""
    shrinkage: float = 0.05
    """Of both classes' covariances."""
    trees: int = 100
    """Of the forest."""
    seed: int = 0
    """Of folds, forests and independent components."""
    search: tuple[float, float] = (13.0, 35.0)
    """Hz in which the own band's peak is looked for."""


@dataclass(frozen=True)
class Decoded:
    """scores [n]: the out-of-fold probability (or distance) of a stop; labels, folds [n]; bands: one of each fold."""

    scores: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    bands: tuple[Band, ...]

    def measures(self, threshold: float = 0.5) -> dict[str, float]:
        """Recall, precision and balanced accuracy at a threshold; recall and precision at one false alarm rate; AUROC.

        The area is the mean over folds, because scores of different folds are not on one scale.
        """
        positive, called = self.labels == 1, self.scores > threshold
        recall, wrong = called[positive].mean(), called[~positive].mean()
        parts = [self.folds == fold for fold in np.unique(self.folds)]
        return {
            "recall": float(recall),
            "precision": float((called & positive).sum() / max(called.sum(), 1)),
            "balanced": float((recall + 1 - wrong) / 2),
            "auroc": float(np.mean([auroc(positive[part], self.scores[part]) for part in parts])),
            "matched": recall_at(FALSE_POSITIVES, positive, self.scores),
            "matched_precision": precision_at(FALSE_POSITIVES, positive, self.scores),
        }


class Decoder:
    """Decode one recording in several arms; folds, bands and filtered covariances are shared between them.

    epochs [n, C, T]; labels [n], 1 for a stop; rate in Hz. Nothing that was fitted to labels is kept between arms but
    what was fitted to the very same trials and labels.
    """

    def __init__(self, epochs: np.ndarray, labels: np.ndarray, rate: float, settings: Settings = Settings()):
        from sklearn.model_selection import StratifiedKFold

        self.epochs, self.labels, self.rate, self.settings = epochs, np.asarray(labels), rate, settings
        folds = StratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed)
        self.splits = list(folds.split(epochs, self.labels))
        self._covs: dict[object, np.ndarray] = {}
        self._bands: dict[object, Band] = {}
        self._choices: dict[object, OwnBandPass] = {}

    def covs(self, band: tuple[float, float]) -> np.ndarray:
        """Covariances [n, C, C] in a band, made once: no label is in them."""
        if band not in self._covs:
            self._covs[band] = covariances(BandPass(*band, self.rate).fit(self.epochs).transform(self.epochs))
        return self._covs[band]

    def own(self, fold: int | None) -> OwnBandPass:
        """The own band fitted to the training trials of a fold, or to all trials (None)."""
        if fold not in self._choices:
            rows = slice(None) if fold is None else self.splits[fold][0]
            choice = ComponentChoice(self.rate, search=self.settings.search, seed=self.settings.seed)
            own = OwnBandPass(self.rate, choice, search=self.settings.search)
            self._choices[fold] = own.fit(self.epochs[rows], self.labels[rows])
        return self._choices[fold]

    def run(self, arm: Arm, known: tuple[float, float] | None = None) -> Decoded:
        """Out-of-fold scores of every trial. known: the band of an arm "known"."""
        count = len(self.labels)
        scores, folds, bands = np.full(count, np.nan), np.zeros(count, dtype=int), []
        for fold, (train, test) in enumerate(self.splits):
            band = self._band(arm, fold, known)
            bands.append(band)
            scores[test] = self._fold(arm, band, train, test)
            folds[test] = fold
        return Decoded(scores, self.labels, folds, tuple(bands))

    def _band(self, arm: Arm, fold: int, known: tuple[float, float] | None) -> Band:
        if arm.band == "own":
            return self.own(None if "band" in arm.leak else fold).band_
        if arm.band == "known":
            if known is None:
                raise BookError("arm 'known' needs the band; give known=(low, high)")
            return Band(*known, found=True)
        return Band(*(BETA if arm.band == "broad" else (BANK[0][0], BANK[-1][1])), found=True)

    def _fold(self, arm: Arm, band: Band, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        if arm.band == "curved":
            covs = self.covs((band.low, band.high))
            model = riemannian(max(self.settings.shrinkage, 0.01)).fit(covs[train], self.labels[train])
            return model.predict_proba(covs[test])[:, 1]
        if arm.band == "bank":
            if "bank" not in self._covs:
                self._covs["bank"] = band_covariances(self.epochs, BANK, self.rate)
            data = self._covs["bank"]
            filters = FilterBankCSP(self.settings.n_components, self.settings.shrinkage, 8, self.settings.seed)
        else:
            data = self.covs((band.low, band.high))
            filters = CSP(self.settings.n_components, self.settings.shrinkage)
        seen = np.arange(len(self.labels)) if "csp" in arm.leak else train
        filters.fit(data[seen], self.labels[seen])
        return judged(
            arm.judge, filters.transform(data[train]), self.labels[train], filters.transform(data[test]), self.settings
        )


def judged(
    judge: str, train: np.ndarray, labels: np.ndarray, test: np.ndarray, settings: Settings = Settings()
) -> np.ndarray:
    """Scores of test features [m, k] by a classifier fitted to training features [n, k]; probabilities of a forest."""
    if judge == "line":
        return 0.5 + PairedDiscriminant().fit(train, labels).decision_function(test)
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(
        settings.trees, class_weight="balanced", min_samples_leaf=5, random_state=settings.seed
    )
    return forest.fit(train, labels).predict_proba(test)[:, 1]


def best_band(decoder: Decoder, bands: Sequence[tuple[float, float]], judge: str = "line") -> tuple[Decoded, Band]:
    """The leak that needs no leaky step: try every band with the same cross-validation and report the best one."""
    runs = [(decoder.run(Arm("known", judge=judge), band), band) for band in bands]
    best, band = max(runs, key=lambda run: run[0].measures()["auroc"])
    return best, Band(*band, found=True)


def across_subjects(
    covs: Sequence[np.ndarray], labels: Sequence[np.ndarray], settings: Settings = Settings(), judge: str = "forest"
) -> np.ndarray:
    """Train on all subjects but one, test on that one: AUROC of each [S].

    covs: each subject's [n, C, C], in any band; each is divided by its subject's mean trace, which needs no label.
    """
    level = [one / np.trace(one, axis1=1, axis2=2).mean() for one in covs]
    found = []
    for held_out in range(len(level)):
        others = [index for index in range(len(level)) if index != held_out]
        data, given = np.concatenate([level[i] for i in others]), np.concatenate([labels[i] for i in others])
        csp = CSP(settings.n_components, settings.shrinkage, normalise=True).fit(data, given)
        scores = judged(judge, csp.transform(data), given, csp.transform(level[held_out]), settings)
        found.append(auroc(labels[held_out] == 1, scores))
    return np.array(found)


def later_sessions(
    covs: np.ndarray,
    labels: np.ndarray,
    session: np.ndarray,
    settings: Settings = Settings(),
    judge: str = "line",
    most: int | None = None,
) -> np.ndarray:
    """AUROC of each session but the first, decoded by what all earlier ones taught: [sessions - 1].

    most: at most this many training trials, the latest ones, so that more sessions do not simply mean more data.
    """
    found = []
    for index in np.unique(session)[1:]:
        past = np.flatnonzero(session < index)[-most if most else None :]
        csp = CSP(settings.n_components, settings.shrinkage).fit(covs[past], labels[past])
        now = session == index
        scores = judged(judge, csp.transform(covs[past]), labels[past], csp.transform(covs[now]), settings)
        found.append(auroc(labels[now] == 1, scores))
    return np.array(found)


def identify(features: np.ndarray) -> float:
    """The share of sessions whose nearest other session is of the same subject. features [subjects, sessions, F].

    Each feature is divided by its standard deviation over all sessions; chance is about 1 / subjects.
    """
    features = np.asarray(features, dtype=float)
    if features.ndim != 3 or min(features.shape[:2]) < 2:
        raise BookError(f"features have shape {features.shape}; give [subjects, sessions, F] with two of each or more")
    subjects, sessions, _ = features.shape
    rows = features.reshape(subjects * sessions, -1)
    scale = rows.std(axis=0)
    rows = rows / np.where(scale > 0, scale, 1)
    distance = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    owner = np.repeat(np.arange(subjects), sessions)
    return float(np.mean(owner[distance.argmin(axis=1)] == owner))
