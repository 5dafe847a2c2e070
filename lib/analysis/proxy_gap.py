"""The measures of a reconstructed activation, each by the definition that its formula shows.

Of an activation and its reconstruction (`a`, `again`: [N, D]): R2, mean squared error, cosine, relative error. Of a
code: alive share. Of a model's losses with and without the reconstruction: recovered cross-entropy, and the score that
is normalised by ablation. Of many activations: the participation ratio, raw and deflated. Over a grid of k: the k at
which a score is reached, and the correlation within k. Chapter 05 shows each formula, and a test holds it to this code.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lib.errors import BookError


def squared_errors(a: Tensor, again: Tensor) -> Tensor:
    """|a - again|^2 of every activation, [N]."""
    return (a - again).square().sum(dim=-1)


def r_squared(a: Tensor, again: Tensor) -> float:
    """1 - SSE / SST, with SST about the mean activation. At most 1; 0 for the mean; below 0 for worse than that."""
    total = squared_errors(a, a.mean(dim=0))
    return float(1 - squared_errors(a, again).sum() / total.sum())


def mean_squared_error(a: Tensor, again: Tensor) -> float:
    """E[|a - again|^2 / D]."""
    return float(squared_errors(a, again).mean() / a.shape[-1])


def mean_cosine(a: Tensor, again: Tensor) -> float:
    """Mean over activations of the cosine between a and its reconstruction."""
    return float(torch.nn.functional.cosine_similarity(a, again, dim=-1).mean())


def relative_error(a: Tensor, again: Tensor) -> float:
    """E[|a - again| / (|a| + 1e-10)]."""
    return float(((a - again).norm(dim=-1) / (a.norm(dim=-1) + 1e-10)).mean())


def alive_share(features: Tensor, values: Tensor, count: int) -> float:
    """Share of `count` features that carry a value above 0 at least once; features, values: [N, k]."""
    return len(features[values > 0].unique()) / count


def ce_recovered(with_it: float, without: float) -> float:
    """2 - L_recon / L_orig: 1 when nothing is lost, 0 when the loss has doubled, below 0 when it is worse."""
    return 2 - with_it / without


def ablation_score(with_it: float, without: float, ablated: float) -> float:
    """(L_zero - L_recon) / (L_zero - L_orig): 1 when nothing is lost, 0 when the activation might as well be zero."""
    return (ablated - with_it) / (ablated - without)


def ablation_from_ce(recovered: float, without: float, ablated: float) -> float:
    """The second score from the first: L_recon = L_orig (2 - CE_rec), put into the definition."""
    return ablation_score(without * (2 - recovered), without, ablated)


def spectrum(a: Tensor) -> Tensor:
    """Eigenvalues of the mean-centred covariance of activations [N, D], largest first, [D]."""
    centred = (a - a.mean(dim=0)).double()
    return torch.linalg.eigvalsh(centred.T @ centred / len(a)).flip(0).clamp_min(0)


def participation_ratio(eigenvalues: Tensor, drop: int = 0) -> float:
    """(sum lambda)^2 / sum lambda^2, after the `drop` largest are removed: D for equal ones, 1 for a single one."""
    kept = eigenvalues[drop:]
    if not len(kept) or not float(kept.sum()) > 0:
        raise BookError(f"no variance is left after the {drop} largest of {len(eigenvalues)} eigenvalues; drop fewer")
    return float(kept.sum() ** 2 / kept.square().sum())


def deflated_r_squared(a: Tensor, again: Tensor, directions: int = 1) -> float:
    """R2 in what is left of the space without the `directions` of largest variance of a; 0 gives R2 itself."""
    centred = (a - a.mean(dim=0)).double()
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    rest = vectors[:, : a.shape[1] - directions]
    return float(1 - squared_errors(a.double() @ rest, again.double() @ rest).sum() / (centred @ rest).square().sum())


def k_star(ks: Sequence[int], scores: Sequence[float], threshold: float) -> float | None:
    """Smallest k at which the score reaches the threshold, linear between the ks of the grid; None if it never does."""
    if len(ks) != len(scores) or list(ks) != sorted(ks):
        raise BookError(f"{len(ks)} values of k for {len(scores)} scores; give one score a k, k ascending")
    if scores[0] >= threshold:
        return float(ks[0])
    for i in range(1, len(ks)):
        if scores[i] >= threshold:
            share = (threshold - scores[i - 1]) / (scores[i] - scores[i - 1])
            return float(ks[i - 1] + share * (ks[i] - ks[i - 1]))
    return None


def pooled_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson correlation over all cells of two tables."""
    return float(np.corrcoef(np.ravel(x), np.ravel(y))[0, 1])


def within_k_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson correlation of two tables [models, ks] after the mean over models is taken out of every k."""
    x, y = (np.asarray(t, dtype=float) - np.mean(t, axis=0) for t in (x, y))
    return pooled_correlation(x, y)


def delta_cosine(dx: Sequence[float], dy: Sequence[float]) -> float:
    """Cosine of two vectors of differences over k. With two models it is the within-k correlation, exactly:

    the demeaned cells are plus and minus half a difference, which doubles every sum and leaves the ratio alone.
    """
    a, b = np.asarray(dx, dtype=float), np.asarray(dy, dtype=float)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def ratio_interval(
    numerator: np.ndarray,
    denominator: np.ndarray,
    generator: np.random.Generator,
    draws: int = 5000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Bootstrap interval of sum(numerator) / sum(denominator) over sequences, [n] each, resampled in pairs.

    CE_rec is 2 minus such a ratio and R2 is 1 minus such a ratio (its total about the fixed mean of all activations).
    """
    n, m = (np.asarray(one, dtype=float) for one in (numerator, denominator))
    if n.shape != m.shape or n.ndim != 1 or len(n) < 2:
        raise BookError(f"{n.shape} over {m.shape} has no bootstrap; give two lists of at least 2 sequences")
    counts = generator.multinomial(len(n), np.full(len(n), 1 / len(n)), size=draws)
    low, high = np.quantile((counts @ n) / (counts @ m), [0.5 - level / 2, 0.5 + level / 2])
    return float(low), float(high)
