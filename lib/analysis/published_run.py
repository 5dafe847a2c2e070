"""What a log of label-smoothed losses can and cannot say about a model."""

from __future__ import annotations

import math

from lib.errors import BookError


def least_loss(nll: float, smoothing: float, vocabulary: int) -> float:
    """The least label-smoothed loss of a token whose true negative log-likelihood is `nll`.

    The other tokens share what is left evenly: (1 - e) nll + e/V (nll + (V - 1) log((V - 1) / (1 - exp(-nll)))).
    """
    rest = -math.expm1(-nll)
    if rest <= 0:
        return math.inf
    tail = (vocabulary - 1) * (math.log(vocabulary - 1) - math.log(rest))
    return (1 - smoothing) * nll + smoothing * (nll + tail) / vocabulary


def largest_nll(loss: float, smoothing: float, vocabulary: int) -> float:
    """The largest mean negative log-likelihood that a mean label-smoothed loss allows.

    `least_loss` is convex in the likelihood's logarithm, so by Jensen a mean loss bounds the mean: the upper root of
    least_loss(nll) = loss. Without smoothing it is the loss. Raises BookError for a loss below the floor, which no
    model reaches. Derived here; used by chapters 09 and 10.
    """
    if smoothing == 0:
        return loss
    low = -math.log(1 - smoothing + smoothing / vocabulary)  # where least_loss has its floor
    if loss < least_loss(low, smoothing, vocabulary) - 1e-12:
        floor = least_loss(low, smoothing, vocabulary)
        raise BookError(
            f"loss={loss} is below the floor {floor:.4f} of smoothing {smoothing} over {vocabulary} classes"
        )
    high = loss / (1 - smoothing) + 1
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if least_loss(middle, smoothing, vocabulary) <= loss else (low, middle)
    return low


def least_nll(loss: float, smoothing: float, vocabulary: int) -> float:
    """The least mean negative log-likelihood that a mean label-smoothed loss allows: the lower root, often near 0.

    A model may owe all of its loss to the tail: certain and right, with the other classes pushed far down.
    """
    high = -math.log(1 - smoothing + smoothing / vocabulary)
    low = 0.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if least_loss(middle, smoothing, vocabulary) <= loss else (middle, high)
    return high
