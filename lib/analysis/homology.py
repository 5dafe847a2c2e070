"""Loops in a cloud of points: the H1 persistence diagram of a distance matrix, and landmarks that thin the cloud.

Grow a ball around every point, radius by radius. Where balls close a ring before they fill it, a loop is born; when the
ring fills, it dies. Death minus birth is the persistence of the loop. Ripser (Bauer 2021) finds all of them.
"""

from __future__ import annotations

import numpy as np

from lib.errors import BookError

MAX_DIMENSION = 1
TOP = 10


def square(distances: np.ndarray) -> np.ndarray:
    """Check a distance matrix: square, finite, symmetric, zero on the diagonal. Raises BookError otherwise."""
    matrix = np.asarray(distances, dtype=float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise BookError(
            f"a distance matrix must be square, not of shape {matrix.shape}: pass distance_matrix(points, metric)"
        )
    if not np.isfinite(matrix).all():
        raise BookError(f"{(~np.isfinite(matrix)).sum()} distances are not finite: drop the rows that cause them")
    if np.diag(matrix).any() or not np.allclose(matrix, matrix.T):
        raise BookError(
            "a distance matrix must be symmetric with zeros on its diagonal: pass distance_matrix(points, metric)"
        )
    return matrix


def h1_diagram(distances: np.ndarray) -> np.ndarray:
    """Births and deaths of the loops of a Vietoris-Rips filtration, longest-lived first (chapter 04, "The idea").

    distances: [N, N]. Returns [L, 2] float64, columns birth and death in the unit of the distances. The filtration runs
    over all distances, so every loop dies. Ripser computes in float32.
    """
    from ripser import ripser

    matrix = square(distances)
    if len(matrix) < 2:
        return np.empty((0, 2))
    diagram = ripser(matrix, maxdim=MAX_DIMENSION, distance_matrix=True)["dgms"][1].astype(float)
    diagram = diagram[np.isfinite(diagram).all(axis=1)]
    return diagram[np.argsort(diagram[:, 0] - diagram[:, 1], kind="stable")]


def persistence(distances: np.ndarray) -> np.ndarray:
    """Death minus birth of every loop, in falling order. distances: [N, N]; returns [L] float64."""
    diagram = h1_diagram(distances)
    return np.sort(diagram[:, 1] - diagram[:, 0])[::-1]


def top_persistence(values: np.ndarray, count: int = TOP) -> np.ndarray:
    """The `count` largest persistences, padded with 0 where there are fewer loops. Returns [count] float64."""
    largest = np.sort(np.asarray(values, dtype=float))[::-1][:count]
    return np.pad(largest, (0, count - len(largest)))


def farthest_points(distances: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Greedy farthest-point landmarks: a random first point, then always the point farthest from those chosen.

    distances: [N, N]; count: how many landmarks, at most N. Returns [count] indices in the order of choice.
    Ties go to the lower index. Raises BookError for a count outside 1 ... N. Chapter 04, landmark route.
    """
    matrix = square(distances)
    if not 1 <= count <= len(matrix):
        raise BookError(f"{count} landmarks cannot be chosen from {len(matrix)} points: give 1 to {len(matrix)}")
    chosen = [int(generator.integers(len(matrix)))]
    gap = matrix[chosen[0]].copy()
    gap[chosen] = -np.inf
    while len(chosen) < count:
        chosen.append(int(np.argmax(gap)))
        gap = np.minimum(gap, matrix[chosen[-1]])
        gap[chosen] = -np.inf
    return np.array(chosen)
