"""Does the shape of a neighbourhood predict its smells? Gains in R2 when loops join geometry (chapter 04, utility).

The post's protocol (SOURCES 4.3) is a ridge regression under repeated k-fold cross-validation. Its folds leak: patches
overlap, so a training patch shares molecules with a test patch. `blocked_splits` keeps groups of similar molecules
together, and `block_permutation` asks whether shuffled topology would have gained as much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lib.errors import BookError

ALPHAS = np.logspace(-3, 3, 13)
Split = tuple[np.ndarray, np.ndarray]


def label_targets(labels: np.ndarray, neighbours: np.ndarray) -> dict[str, np.ndarray]:
    """What the labels of a neighbourhood have in common, three targets, each [N] float64.

    labels: bool [N, L]; neighbours: [N, k]. "jaccard": mean Jaccard similarity of the focal labels with each
    neighbour's. "any_label": share of neighbours with a common label. "entropy": mean binary entropy, in bits, of the
    share of neighbours that have a label, over the labels present in the focal molecule or in a neighbour.
    Raises BookError for a molecule without a label.
    """
    marks = np.asarray(labels, dtype=bool)
    if not marks.any(axis=1).all():
        row = int(np.flatnonzero(~marks.any(axis=1))[0])
        raise BookError(f"molecule {row} has no label: drop rows without labels")
    near = marks[neighbours]  # [N, k, L]
    focal = marks[:, None, :]
    both = (near & focal).sum(axis=2)
    either = (near | focal).sum(axis=2)
    present = near.any(axis=1) | marks
    share = near.mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = -np.nan_to_num(share * np.log2(share)) - np.nan_to_num((1 - share) * np.log2(1 - share))
    return {
        "entropy": (bits * present).sum(axis=1) / present.sum(axis=1),
        "any_label": (both > 0).mean(axis=1),
        "jaccard": (both / either).mean(axis=1),
    }


def repeated_splits(rows: int, folds: int = 5, repeats: int = 3, seed: int = 0) -> list[Split]:
    """The post's folds: scikit-learn's RepeatedKFold, shared by all blocks of features."""
    from sklearn.model_selection import RepeatedKFold

    return list(RepeatedKFold(n_splits=folds, n_repeats=repeats, random_state=seed).split(np.arange(rows)))


def blocked_splits(groups: Sequence[int], folds: int = 5, repeats: int = 3, seed: int = 0) -> list[Split]:
    """Folds that never part a group: GroupKFold with shuffled groups, once per repeat with seed + repeat.

    Raises BookError for fewer groups than folds.
    """
    from sklearn.model_selection import GroupKFold

    names = np.asarray(groups)
    if len(np.unique(names)) < folds:
        raise BookError(f"{len(np.unique(names))} groups cannot fill {folds} folds: use fewer folds")
    found = []
    for repeat in range(repeats):
        maker = GroupKFold(n_splits=folds, shuffle=True, random_state=seed + repeat)
        found += list(maker.split(names, groups=names))
    return found


def similarity_groups(distances: np.ndarray, cutoff: float) -> np.ndarray:
    """Clusters of molecules (Butina 1999): no member is farther than `cutoff` from its cluster's centre.

    distances: [N, N], for instance Jaccard distances of fingerprints. Returns [N] int, the largest cluster is 0.
    """
    from rdkit.ML.Cluster import Butina

    condensed = distances[np.tril_indices(len(distances), -1)]
    clusters = Butina.ClusterData(condensed.tolist(), len(distances), cutoff, isDistData=True, reordering=True)
    groups = np.empty(len(distances), dtype=int)
    for number, members in enumerate(sorted(clusters, key=len, reverse=True)):
        groups[list(members)] = number
    return groups


def ridge() -> object:
    """The post's model: standardised features, ridge regression with its penalty chosen from ALPHAS."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), RidgeCV(alphas=ALPHAS))


def boosted_trees(seed: int = 0) -> object:
    """A second family of models: histogram gradient boosting, which needs no linear relation."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(max_iter=100, learning_rate=0.1, random_state=seed)


@dataclass(frozen=True)
class Gain:
    """What a second block of features adds to a first, split by split.

    alone, both: R2 on the test rows with the first block and with both, [S].
    rank_alone, rank_both: Spearman correlations of prediction and target, [S].
    """

    alone: np.ndarray
    both: np.ndarray
    rank_alone: np.ndarray
    rank_both: np.ndarray

    @property
    def deltas(self) -> np.ndarray:
        """Gain in R2 of every split, [S]."""
        return self.both - self.alone

    @property
    def mean(self) -> float:
        """Mean gain in R2 over the splits."""
        return float(self.deltas.mean())

    @property
    def share_positive(self) -> float:
        """Share of the splits with a gain."""
        return float((self.deltas > 0).mean())

    @property
    def band(self) -> tuple[float, float]:
        """5th and 95th percentile of the gains. Splits share rows, so this is no confidence interval."""
        low, high = np.quantile(self.deltas, [0.05, 0.95])
        return float(low), float(high)


def gain(
    first: np.ndarray, second: np.ndarray, target: np.ndarray, splits: Iterable[Split], model: Callable = ridge
) -> Gain:
    """Fit on the training rows of every split, with the first block [N, F] alone and with the second [N, G] beside it.

    target: [N]. model: makes a fresh regressor for every fit.
    """
    from scipy.stats import spearmanr

    found: dict[str, list[float]] = {"alone": [], "both": [], "rank_alone": [], "rank_both": []}
    splits = list(splits)
    for name, features in (("alone", first), ("both", np.column_stack([first, second]))):
        for truth, guess in guesses(features, target, splits, model):
            found[name].append(explained(truth, guess))
            flat = np.ptp(guess) == 0 or np.ptp(truth) == 0
            found[f"rank_{name}"].append(0.0 if flat else float(spearmanr(guess, truth).statistic))
    return Gain(**{name: np.array(values) for name, values in found.items()})


def guesses(
    features: np.ndarray, target: np.ndarray, splits: Iterable[Split], model: Callable = ridge
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What is true of the test rows of every split, and what a fresh model of the training rows says of them."""
    for train, test in splits:
        yield target[test], model().fit(features[train], target[train]).predict(features[test])


def explained(truth: np.ndarray, guess: np.ndarray) -> float:
    """R2: one minus the share of the variance that is left."""
    from sklearn.metrics import r2_score

    return float(r2_score(truth, guess))


def block_permutation(
    first: np.ndarray,
    second: np.ndarray,
    target: np.ndarray,
    splits: Sequence[Split],
    *,
    draws: int,
    generator: np.random.Generator,
    model: Callable = ridge,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Mean gains with the rows of the second block shuffled together, [draws]: what it adds when it knows nothing.

    The rows keep their own columns' correlations and lose their tie to the target and to the first block. Free
    shuffles also lose what similar molecules have in common, so they find a gain that is only a cluster's mean.
    groups, [N]: shuffle inside each group alone, which keeps the clusters' means and asks for more.
    """
    alone = np.array([explained(*pair) for pair in guesses(first, target, splits, model)])
    found = np.empty(draws)
    for draw in range(draws):
        joined = np.column_stack([first, second[shuffled(len(second), generator, groups)]])
        both = np.array([explained(*pair) for pair in guesses(joined, target, splits, model)])
        found[draw] = (both - alone).mean()
    return found


def shuffled(rows: int, generator: np.random.Generator, groups: np.ndarray | None = None) -> np.ndarray:
    """A random order of row numbers, [rows] int; with groups, [rows], every place keeps a row of its own group."""
    if groups is None:
        return generator.permutation(rows)
    order = np.empty(rows, dtype=int)
    order[np.argsort(groups, kind="stable")] = np.lexsort((generator.random(rows), groups))
    return order
