"""Exercises of chapter 10: an average of weights without lag, a bound on a perplexity, the nucleus of a distribution.

`exercises` lists them (lib/press/exercises.py says what an exercise is).
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from lib.analysis.published_run import largest_nll
from lib.models.sampling import keep_top_p
from lib.press.exercises import Exercise, NotYet
from lib.trainers import EMA


def average_stub(weights, decay):
    """The debiased moving average after the last of `weights`, an array of one number an update."""
    return weights[-1]


def average_solution(weights, decay):
    """From zero, then divided by what the weights of the average add up to."""
    total = 0.0
    for weight in weights:
        total = decay * total + (1 - decay) * weight
    return total / (1 - decay ** len(weights))


def average_test(answer: Callable) -> None:
    """Compare with the trainer's average of a one-weight model."""
    for weights, decay in (([3.0], 0.9), ([1.0, 2.0, 4.0], 0.5), (list(np.linspace(0, 1, 200)), 0.999)):
        given = answer(np.array(weights), decay)
        if given is None or np.ndim(given) != 0:
            raise NotYet(f"for {len(weights)} updates your function returned {given!r}; return one number")
        model = nn.Linear(1, 1, bias=False)
        model.weight.data.fill_(weights[0])
        averages = {debias: EMA(model, decay, debias=debias) for debias in (True, False)}
        for weight in weights:
            model.weight.data.fill_(weight)
            for average in averages.values():
                average.update(model)
        right, lagging = (float(averages[debias].weights()["weight"]) for debias in (True, False))
        if np.isclose(given, right, atol=1e-5):
            continue
        raw = right * (1 - decay ** len(weights))
        if np.isclose(given, raw, atol=1e-5):
            raise NotYet("that starts at zero and stays too small: divide by 1 - decay ** updates")
        if np.isclose(given, lagging, atol=1e-5):
            raise NotYet("that starts at the first weight, as the post's average does: start at zero and divide")
        if np.isclose(given, np.mean(weights)):
            raise NotYet("that is the plain mean: late weights count more, each by decay over the one after it")
        raise NotYet(f"after {len(weights)} updates with decay {decay} it is {right:.4f}, not {float(given):.4f}")


def largest_stub(loss, smoothing, classes):
    """The largest true negative log-likelihood that a label-smoothed loss allows."""
    return loss


def largest_solution(loss, smoothing, classes):
    """Walk down from the loss's own ceiling until the least loss fits."""
    values = np.linspace(1e-6, loss / (1 - smoothing), 400_001)
    rest = np.log((classes - 1) / -np.expm1(-values))
    least = (1 - smoothing) * values + smoothing / classes * (values + (classes - 1) * rest)
    return float(values[least <= loss].max())


def largest_test(answer: Callable) -> None:
    """Compare with the library at losses like the post's, and where slips show."""
    for loss, smoothing, classes in ((3.8207, 0.1, 1027), (2.0, 0.2, 10), (1.5, 0.1, 1027)):
        given = answer(loss, smoothing, classes)
        if given is None or np.ndim(given) != 0:
            raise NotYet(f"your function returned {given!r}; return one number")
        right = largest_nll(loss, smoothing, classes)
        if np.isclose(given, right, atol=2e-4):
            continue
        if np.isclose(given, loss):
            raise NotYet("that is the loss itself: a share of it is the price of smoothing")
        loose = (loss - smoothing * np.log(classes)) / (1 - smoothing)
        if np.isclose(given, loose, atol=1e-3):
            raise NotYet("close: that lets the other classes be uniform over all; they share only what is left")
        raise NotYet(f"for loss {loss}, smoothing {smoothing} and {classes} classes it is {right:.4f}, not {given:.4f}")


def keep_stub(chances, p):
    """Which tokens top-p keeps: a boolean for each of `chances`, which sum to one."""
    return chances > 0


def keep_solution(chances, p):
    """The likeliest first, until their sum reaches p; the one that reaches it is kept."""
    order = np.argsort(-chances, kind="stable")
    before = np.cumsum(chances[order]) - chances[order]
    kept = np.zeros(len(chances), dtype=bool)
    kept[order] = before < p
    return kept


def keep_test(answer: Callable) -> None:
    """Compare with the sampler on distributions where each slip shows."""
    cases = (([0.5, 0.3, 0.15, 0.05], 0.6), ([0.1, 0.2, 0.7], 0.5), ([0.25, 0.15, 0.6], 0.85), ([1.0, 0.0], 0.9))
    for chances, p in cases:
        chances = np.array(chances)
        given = answer(chances.copy(), p)
        if given is None or np.shape(given) != chances.shape:
            raise NotYet(f"for {len(chances)} tokens your function returned {given!r}; return a boolean for each")
        right = (keep_top_p(torch.tensor(np.log(np.maximum(chances, 1e-30)))[None], p)[0] > -torch.inf).numpy()
        given = np.asarray(given, dtype=bool)
        if (given == right).all():
            continue
        if not given.any():
            raise NotYet(f"for {chances.tolist()} and p={p} nothing is left to draw: the likeliest always stays")
        if chances[given].sum() < p:
            raise NotYet("keep the token that carries the sum over p: the set must reach p")
        if given.sum() > right.sum():
            raise NotYet(f"for {chances.tolist()} and p={p} you keep {given.sum()} tokens; {right.sum()} are enough")
        raise NotYet("take the likeliest tokens first, whatever their place")


exercises = [
    Exercise(
        title="An average that does not lag",
        task="Write the debiased moving average of weights. Then feed it the numbers 0 to 1 and see how far the "
        "average that starts at the first weight trails behind.",
        difficulty=1,
        minutes=10,
        hint="Start at zero, update with decay and 1 - decay, and divide once at the end.",
        stub=average_stub,
        solution=average_solution,
        test=average_test,
    ),
    Exercise(
        title="What a smoothed loss allows",
        task="Find the largest true negative log-likelihood that a label-smoothed loss allows. What is the largest "
        "perplexity behind the post's 3.8207?",
        difficulty=3,
        minutes=25,
        hint="For a target of chance p the loss is least when the other classes share 1 - p evenly. Write that loss as "
        "a function of -log p and look for the largest argument at which it is not above the given loss.",
        stub=largest_stub,
        solution=largest_solution,
        test=largest_test,
    ),
    Exercise(
        title="The nucleus",
        task="Say which tokens top-p keeps. The one that carries the sum over p is kept too.",
        difficulty=2,
        minutes=10,
        hint="Sort by falling chance. A token stays when what comes before it sums to less than p.",
        stub=keep_stub,
        solution=keep_solution,
        test=keep_test,
    ),
]
