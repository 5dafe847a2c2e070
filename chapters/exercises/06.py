"""Exercises of chapter 06: a distortion weighted by sensitivity, the Fisher norm of a change, a loss foreseen.

`exercises` lists them (lib/press/exercises.py says what an exercise is).
"""

from collections.abc import Callable

import numpy as np

from lib.press.answers import number
from lib.press.exercises import Exercise, NotYet


def distortion_stub(gradients, errors):
    """The sensitivity-weighted distortion of errors [N, D], with the loss's gradient [N, D] at each token."""
    return 0.0


def distortion_solution(gradients, errors):
    """The mean square of each token's own product."""
    return np.mean(np.sum(gradients * errors, axis=1) ** 2)


def distortion_test(answer: Callable) -> None:
    """Errors across the gradient are free, signs do not cancel, and a mean is a mean."""
    rng = np.random.default_rng(0)
    g, d = rng.normal(size=(2, 7, 3))
    right, given = distortion_solution(g, d), number(answer(g.copy(), d.copy()), "for seven tokens")
    if np.isclose(given, right):
        free = np.array([[0.0, 5.0, 0.0]]), np.array([[3.0, 0.0, -2.0]])
        if not np.isclose(number(answer(*free), "for an error across the gradient"), 0):
            raise NotYet("an error at a right angle to the gradient should cost nothing")
        return
    wrong = {
        "the products cancel before they are squared; square each token's, then take the mean": np.mean(
            np.sum(g * d, axis=1)
        )
        ** 2,
        "that is a sum over tokens; take the mean": right * 7,
        "square the product of a token, not each coordinate of it": np.mean(np.sum((g * d) ** 2, axis=1)),
        "that is the mean size of the product; square it": np.mean(np.abs(np.sum(g * d, axis=1))),
    }
    for hint, value in wrong.items():
        if np.isclose(given, value):
            raise NotYet(hint)
    raise NotYet(f"for seven tokens the answer is {right:.4f}, not {given:.4f}")


def fisher_stub(p, change):
    """u^T (diag(p) - p p^T) u for probabilities p [V] and a change u [V] of the logits."""
    return 0.0


def fisher_solution(p, change):
    """A variance: of the change, under p. No matrix is needed."""
    return p @ change**2 - (p @ change) ** 2


def fisher_test(answer: Callable) -> None:
    """Against the matrix; and a constant added to all logits is not felt."""
    rng = np.random.default_rng(1)
    for size in (3, 8):
        p, u = rng.dirichlet(np.ones(size)), rng.normal(size=size)
        right = u @ (np.diag(p) - np.outer(p, p)) @ u
        given = number(answer(p.copy(), u.copy()), f"for {size} outcomes")
        if np.isclose(given, p @ u**2):
            raise NotYet("the second part, (p . u)^2, is missing: a constant added to all logits changes nothing")
        if not np.isclose(given, right):
            raise NotYet(f"for {size} outcomes the answer is {right:.4f}, not {given:.4f}")


def predicted_stub(gradient, curvature, error):
    """The change of a loss foreseen to second order: gradient [D], curvature matrix [D, D], error [D]."""
    return 0.0


def predicted_solution(gradient, curvature, error):
    """First order and half of second order."""
    return gradient @ error + error @ curvature @ error / 2


def predicted_test(answer: Callable) -> None:
    """Exact on a quadratic loss, away from its lowest point too."""
    rng = np.random.default_rng(2)
    for size in (2, 5):
        a, b, x, d = rng.normal(size=(size, size)), *rng.normal(size=(3, size))
        curvature = a @ a.T

        def loss(y, curvature=curvature, b=b):
            return y @ curvature @ y / 2 + b @ y

        gradient, right = curvature @ x + b, loss(x + d) - loss(x)
        given = number(answer(gradient, curvature, d), f"in {size} dimensions")
        if np.isclose(given, d @ curvature @ d / 2):
            raise NotYet("the first-order term is missing; the model is not at a lowest point of its loss")
        if np.isclose(given, gradient @ d + d @ curvature @ d):
            raise NotYet("second order comes with a half")
        if not np.isclose(given, right):
            raise NotYet(f"in {size} dimensions the loss changes by {right:.4f}, not {given:.4f}")


exercises = [
    Exercise(
        title="errors that matter",
        task="Write the sensitivity-weighted distortion: how much the loss feels of each token's error, mean square.",
        difficulty=1,
        minutes=5,
        hint="One product a token first; then square it; then the mean over tokens.",
        stub=distortion_stub,
        solution=distortion_solution,
        test=distortion_test,
    ),
    Exercise(
        title="what predictions feel",
        task="Write the Fisher norm of a change of logits without building a matrix.",
        difficulty=2,
        minutes=10,
        hint="Which statistic is the mean of squares minus the square of the mean?",
        stub=fisher_stub,
        solution=fisher_solution,
        test=fisher_test,
    ),
    Exercise(
        title="a loss foreseen",
        task="Foresee the change of a loss from its gradient and curvature.",
        difficulty=2,
        minutes=10,
        hint="Taylor's formula, up to and with the square of the error.",
        stub=predicted_stub,
        solution=predicted_solution,
        test=predicted_test,
    ),
]
