"""What a handful of subjects can show: power, the luck of the largest, recall at a fair threshold (chapter 03)."""

from __future__ import annotations

import numpy as np

from lib.errors import BookError


def paired_power(mean: float, spread: float, count: int, *, level: float = 0.05) -> float:
    """The chance that a two-sided paired t test over `count` subjects rejects at `level`.

    mean, spread: of the true differences over subjects, normal. Exact, by the noncentral t distribution.
    Raises BookError for fewer than two subjects or a spread that is not positive.
    """
    from scipy.stats import nct, t

    if count < 2 or not spread > 0 or not 0 < level < 1:
        raise BookError(
            f"count={count}, spread={spread:g}, level={level:g}; give 2 subjects, a spread above 0, a level in (0, 1)"
        )
    freedom, shift = count - 1, abs(mean) / spread * np.sqrt(count)
    edge = t.ppf(1 - level / 2, freedom)
    wrong_side = np.nan_to_num(nct.cdf(-edge, freedom, shift))  # scipy gives NaN where it is below 1e-17
    return float(nct.sf(edge, freedom, shift) + wrong_side)


def sign_flip_p(differences: np.ndarray) -> float:
    """Exact two-sided p-value of a mean difference over subjects: all 2^n ways to swap the two arms of a subject.

    differences [n], n at most 20. The smallest p with seven subjects is 2 / 128. Raises BookError for other n.
    """
    values = np.asarray(differences, dtype=float)
    if values.ndim != 1 or not 1 <= len(values) <= 20:
        raise BookError(f"differences have shape {values.shape}; give one number for each of 1 to 20 subjects")
    signs = 1 - 2 * ((np.arange(2 ** len(values))[:, None] >> np.arange(len(values))) & 1)
    means = np.abs(signs @ values)
    return float(np.mean(means >= means[0] * (1 - 1e-12)))


def subjects_needed(mean: float, spread: float, *, power: float = 0.8, level: float = 0.05, most: int = 1000) -> int:
    """The least number of subjects at which `paired_power` reaches `power`; BookError when `most` are not enough."""
    for count in range(2, most + 1):
        if paired_power(mean, spread, count, level=level) >= power:
            return count
    raise BookError(
        f"{most} subjects do not reach a power of {power:g} for {mean:g} +- {spread:g}; ask a larger question"
    )


def difference_spread(disagreement: float, trials: int) -> float:
    """Standard deviation of the difference of two recalls on the same trials when neither decoder is better.

    disagreement: the share of these trials on which exactly one decoder is right; trials: how many there are.
    """
    if not 0 <= disagreement <= 1 or trials < 1:
        raise BookError(f"disagreement={disagreement:g}, trials={trials}; give a share in [0, 1] and at least 1 trial")
    return float(np.sqrt(disagreement / trials))


def expected_maximum(count: int, spread: float = 1.0) -> float:
    """The mean of the largest of `count` independent normal numbers with mean 0.

    The integral of the quantile function against the density of the largest of `count` uniform numbers.
    Raises BookError for no number at all.
    """
    from scipy.integrate import quad
    from scipy.stats import norm

    if count < 1 or spread < 0:
        raise BookError(f"count={count}, spread={spread:g}; give at least 1 number and a spread of 0 or more")
    return spread * quad(lambda x: x * count * norm.pdf(x) * norm.cdf(x) ** (count - 1), -10, 10)[0]


def recall_at(rate: float, positive: np.ndarray, scores: np.ndarray) -> float:
    """Recall at the lowest threshold that keeps the false-positive rate at `rate` or less.

    positive: bool [n]; scores [n], a trial counts as positive above the threshold. Two decoders are compared fairly at
    one rate, whatever their class weights. Raises BookError without trials of both kinds.
    """
    positive, scores = np.asarray(positive, dtype=bool), np.asarray(scores, dtype=float)
    if not 0 <= rate <= 1 or positive.all() or not positive.any():
        raise BookError(f"rate={rate:g} with {positive.sum()} of {len(positive)} positive; give a share and both kinds")
    others = np.sort(scores[~positive])[::-1]
    allowed = int(np.floor(rate * len(others) + 1e-9))
    threshold = others[allowed] if allowed < len(others) else -np.inf
    return float(np.mean(scores[positive] > threshold))


def precision_at(rate: float, positive: np.ndarray, scores: np.ndarray, share: float | None = None) -> float:
    """Precision at the threshold of `recall_at`, if a `share` of trials were positive (by default the share there is).

    A recall without a false-positive rate says nothing of precision: with one stop in five, a rate of .2 at a recall of
    .8 makes every second alarm false. Returns 1 when nothing is called positive.
    """
    positive = np.asarray(positive, dtype=bool)
    share = float(positive.mean()) if share is None else share
    hits, alarms = share * recall_at(rate, positive, scores), (1 - share) * rate
    return hits / (hits + alarms) if hits + alarms > 0 else 1.0
