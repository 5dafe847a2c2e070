"""G11: cross-validated CSP and a discriminant, 30 channels, 400 trials of 500 samples, five folds, against mne's CSP.

mne estimates covariances from the epochs at every fit. Here they are computed once and serve every fold and every
permutation of the labels. The areas under the curve of both ways, and of both under a permutation, must be the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from threadpoolctl import threadpool_limits

from lib.analysis.spatial_filters import covariances, permutation_scores
from tests.bench.measure import Row, interleaved

CHANNELS, TRIALS, SAMPLES, FOLDS = 30, 400, 500, 5
PERMUTATIONS = 10
SEED = 0


def recording() -> tuple[np.ndarray, np.ndarray]:
    """Epochs [n, C, T] with one source a little louder in class 1, and balanced labels."""
    rng = np.random.default_rng(SEED)
    labels = np.arange(TRIALS) % 2
    sources = rng.normal(size=(TRIALS, CHANNELS, SAMPLES))
    sources[labels == 1, 0] *= 1.05
    epochs = np.einsum("kc,nkt->nct", rng.normal(size=(CHANNELS, CHANNELS)), sources)
    return epochs - epochs.mean(axis=2, keepdims=True), labels


def by_mne(epochs: np.ndarray, labels: np.ndarray) -> float:
    """The same cross-validation through mne.decoding.CSP and scikit-learn."""
    import mne
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline

    judge = LinearDiscriminantAnalysis(solver="lsqr", priors=[0.5, 0.5])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    with mne.utils.use_log_level("ERROR"):
        model = make_pipeline(mne.decoding.CSP(4), judge)
        return cross_val_score(model, epochs, labels, cv=folds, scoring="roc_auc").mean()


def rows() -> Iterator[Row]:
    epochs, labels = recording()
    settings = {"folds": FOLDS, "shrinkage": 0.0, "seed": SEED}
    covs = covariances(epochs)
    found, null = permutation_scores(covs, labels, permutations=1, **settings)
    shuffled = labels[np.random.default_rng(SEED).permutation(TRIALS)]
    worst = max(abs(found - by_mne(epochs, labels)), abs(null[0] - by_mne(epochs, shuffled)))
    with threadpool_limits(1):  # numpy's BLAS does not ask torch
        seconds = interleaved(
            {
                "mne": lambda: by_mne(epochs, labels),
                "covariances": lambda: covariances(epochs),
                "once": lambda: permutation_scores(covariances(epochs), labels, permutations=0, **settings),
                "many": lambda: permutation_scores(covs, labels, permutations=PERMUTATIONS - 1, **settings),
            }
        )
    share = seconds["covariances"] / seconds["once"]
    yield Row(
        "G11",
        "five folds through mne over ours, covariances included",
        seconds["mne"] / seconds["once"],
        bar=30,
        share=share,
    )
    what = "one permutation of labels through mne over ours"
    yield Row("G11", what, seconds["mne"] / (seconds["many"] / PERMUTATIONS), bar=80)
    yield Row("G11", "difference of cross-validated areas from mne's", worst, "", 1e-9, at_least=False)
