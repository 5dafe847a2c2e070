"""Exercises of chapter 03: a spatial filter from two covariances, a fold without a leak, the weight of a scalp map.

`exercises` lists them (lib/press/exercises.py says what an exercise is).
"""

from collections.abc import Callable

import numpy as np

from lib.analysis import CSP, covariances
from lib.analysis.spatial_filters import PairedDiscriminant, auroc
from lib.press.exercises import Exercise, NotYet


def _numbers(given, shape: tuple, what: str) -> np.ndarray:
    if given is None:
        raise NotYet(f"your function returned None; return {what}")
    values = np.asarray(given, dtype=float)
    if values.shape != shape:
        raise NotYet(f"your function returned an array of shape {values.shape}; return {what}, shape {shape}")
    if not np.isfinite(values).all():
        raise NotYet("your answer holds a number that is not finite")
    return values


def filter_stub(first, second):
    """The filter w [C] whose signal has the largest share of its variance in the second class; covariances [C, C]."""
    return np.zeros(len(first))


def filter_solution(first, second):
    """The top eigenvector of the whitened second class, carried back to channels."""
    values, vectors = np.linalg.eigh(first + second)
    whiten = vectors / np.sqrt(values)
    return whiten @ np.linalg.eigh(whiten.T @ second @ whiten)[1][:, -1]


def filter_test(answer: Callable) -> None:
    """Compare the share of variance with the best possible one, and recognise near misses."""
    for seed, size in ((0, 3), (1, 6), (2, 12)):
        rng = np.random.default_rng(seed)
        mixing = rng.normal(size=(2, size, 2 * size)) * rng.uniform(0.3, 3.0, (2, size, 1))
        first, second = (one @ one.T / (2 * size) for one in mixing)
        w = _numbers(answer(first.copy(), second.copy()), (size,), "one weight for each channel")
        if not w.any():
            raise NotYet("a filter of zeros hears nothing")
        share = w @ second @ w / (w @ (first + second) @ w)
        best = filter_solution(first, second)
        top = best @ second @ best / (best @ (first + second) @ best)
        slips = {
            "that is the loudest direction of the second class; a filter must also be quiet in the first": second,
            "the difference of covariances favours loud directions; divide by their sum": second - first,
        }
        if np.isclose(share, top, rtol=1e-6):
            continue
        for said, matrix in slips.items():
            loud = np.linalg.eigh(matrix)[1][:, -1]
            if np.isclose(abs(loud @ w), np.linalg.norm(w), rtol=1e-6):
                raise NotYet(said)
        swapped = filter_solution(second, first)
        if np.isclose(abs(swapped @ w) / np.linalg.norm(swapped), np.linalg.norm(w), rtol=1e-6):
            raise NotYet("that is the best filter of the first class: take the other end of the eigenvalues")
        pattern = (first + second) @ best
        if np.isclose(abs(pattern @ w) / np.linalg.norm(pattern), np.linalg.norm(w), rtol=1e-6):
            raise NotYet("that is the pattern, what the source shows on the scalp; the filter is what hears it")
        raise NotYet(
            f"with {size} channels your filter puts {share:.3f} of the variance in the second class, not {top:.3f}"
        )


def fold_stub(covs, labels, train, test):
    """Scores of the test trials. covs [n, C, C]; labels [n], 0 or 1; train, test: trial numbers. It leaks: mend it."""
    features = CSP(4).fit(covs, labels).transform(covs)
    judge = PairedDiscriminant().fit(features[train], labels[train])
    return judge.decision_function(features[test])


def fold_solution(covs, labels, train, test):
    """Filters and judge see the training trials alone."""
    csp = CSP(4).fit(covs[train], labels[train])
    judge = PairedDiscriminant().fit(csp.transform(covs[train]), labels[train])
    return judge.decision_function(csp.transform(covs[test]))


def fold_test(answer: Callable) -> None:
    """Change what the fold must not see; the scores must not move. Change what it must see; they must."""
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.arange(80) % 2)
    epochs = rng.normal(size=(80, 12, 50))
    epochs[labels == 1, 0] *= 1.5
    covs = covariances(epochs)
    train, test = np.arange(60), np.arange(60, 80)
    scores = _numbers(answer(covs, labels, train, test), (20,), "one score for each test trial")
    hidden = labels.copy()
    hidden[test] = 1 - hidden[test]
    if not np.allclose(answer(covs, hidden, train, test), scores):
        raise NotYet("your scores change with the labels of the test trials: something was fitted to them")
    moved = covs.copy()
    moved[test[1:]] *= rng.uniform(0.2, 5, (19, 1, 1))
    if not np.isclose(np.asarray(answer(moved, labels, train, test))[0], scores[0]):
        raise NotYet("the score of one test trial changes with the other test trials: fit on the training trials alone")
    blind = np.mean([_on_noise(answer, seed) for seed in range(12)])
    if blind > 0.65:
        raise NotYet(f"on labels that mean nothing your scores reach an area of {blind:.2f}; it should be near .5")
    if auroc(labels[test] == 1, scores) < 0.8:
        raise NotYet("your scores do not tell the classes apart although a source does; higher should mean class 1")


def _on_noise(answer: Callable, seed: int) -> float:
    rng = np.random.default_rng(seed)
    covs, labels = covariances(rng.normal(size=(60, 12, 40))), rng.permutation(np.arange(60) % 2)
    train, test = np.arange(40), np.arange(40, 60)
    return auroc(labels[test] == 1, np.asarray(answer(covs, labels, train, test), dtype=float))


def weight_stub(pattern, region):
    """How many times its fair part of a map's energy a region holds; pattern [C] values, region [C] true or false."""
    return 0.0


def weight_solution(pattern, region):
    """The region's share of the energy over its share of the electrodes."""
    energy = np.asarray(pattern) ** 2
    return energy[region].sum() / energy.sum() / np.mean(region)


def weight_test(answer: Callable) -> None:
    """Compare on maps where each likely slip gives another number."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        pattern, region = rng.normal(size=24), rng.permutation(24) < 5 + seed
        given = float(_numbers(answer(pattern.copy(), region.copy()), (), "one number"))
        energy, size = pattern**2, np.abs(pattern)
        right = energy[region].sum() / energy.sum() / region.mean()
        if np.isclose(given, right):
            continue
        slips = {
            energy[region].sum()
            / energy.sum(): "that is the share of energy; a large region has a large share for free",
            size[region].sum() / size.sum() / region.mean(): "energy is the square of the map, not its size",
            size[region].sum()
            / size.sum(): "energy is the square of the map, and a large region has a large share for free",
            energy[region].mean(): "that depends on the map's unit: divide by the mean energy of all electrodes",
            energy[region].sum() / energy[~region].sum(): "compare with all electrodes, not with those outside",
            energy[region].mean() / energy[~region].mean(): "compare with all electrodes, not with those outside",
        }
        for value, said in slips.items():
            if np.isclose(given, value):
                raise NotYet(said)
        raise NotYet(f"for {region.sum()} of 24 electrodes the answer is {right:.3f}, not {given:.3f}")


exercises = [
    Exercise(
        title="A filter from two covariances",
        task="Write the spatial filter whose signal has the largest share of its variance in the second class.",
        difficulty=2,
        minutes=20,
        hint="Make the sum of both covariances the identity first: whiten it with its eigenvectors over the roots of "
        "its eigenvalues. In those coordinates loudness is equal everywhere, and the best direction of the second "
        "class is its top eigenvector. Then carry it back to channels.",
        stub=filter_stub,
        solution=filter_solution,
        test=filter_test,
    ),
    Exercise(
        title="A fold without a leak",
        task="Mend the fold: its filters have seen the labels of the trials that it is scored on.",
        difficulty=1,
        minutes=10,
        hint="Everything with a `fit` gets the training trials alone. `transform` may see any trial.",
        stub=fold_stub,
        solution=fold_solution,
        test=fold_test,
    ),
    Exercise(
        title="The weight of a region",
        task="Write how many times its fair part of a scalp map's energy a region of electrodes holds.",
        difficulty=1,
        minutes=10,
        hint="Energy is the square of the map. An even map gives every region exactly its part: the answer is then 1.",
        stub=weight_stub,
        solution=weight_solution,
        test=weight_test,
    ),
]
