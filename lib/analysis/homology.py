"""Loops in a cloud of points: the H1 persistence diagram of a distance matrix, and landmarks that thin the cloud.

Grow a ball around every point, radius by radius. Where balls close a ring before they fill it, a loop is born; when the
ring fills, it dies. Death minus birth is the persistence of the loop. Ripser (Bauer 2021) finds all of them.
"""

from __future__ import annotations

import numpy as np

from lib.errors import BookError

MAX_DIMENSION = 1
TOP = 10
WORTH_CUTTING = 250  # points from which looking for a cut-off costs less than it saves
START = 0.25  # share of the pairs that the search takes as close
MARGIN = 0.1  # of the way from the last possible birth to the enclosing radius, for the last loops to die in
CHUNK = 2000


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
    over all distances, so every loop dies. Ripser computes in float32. From 250 points on it stops early where that
    changes nothing: after the last possible birth (`last_birth`), and only if every loop has died by then.
    """
    matrix = square(distances)
    if len(matrix) < 2:
        return np.empty((0, 2))
    diagram = None
    if len(matrix) >= WORTH_CUTTING and (born := last_birth(matrix)) is not None:
        radius = matrix.max(axis=1).min()  # where ripser stops by itself: from here on one point is close to all
        diagram = _ripser(matrix, born + MARGIN * max(radius - born, 0.0))
    if diagram is None or not np.isfinite(diagram).all():
        diagram = _ripser(matrix, np.inf)
    return diagram[np.argsort(diagram[:, 0] - diagram[:, 1], kind="stable")]


def _ripser(matrix: np.ndarray, until: float) -> np.ndarray:
    from ripser import ripser

    found = ripser(matrix, maxdim=MAX_DIMENSION, thresh=until, distance_matrix=True)
    return found["dgms"][MAX_DIMENSION].astype(float)


def last_birth(distances: np.ndarray) -> float | None:
    """A scale after which no loop is born, or None where looking for it would cost more than it saves.

    distances: [N, N]. A pair that has a strictly shorter way round, over one third point, bears no loop: its edge comes
    with a filled triangle, along a join of two points with a set that is not empty, which is connected. So births end
    with the longest pair that has none, the longest edge of the relative neighbourhood graph (Toussaint 1980). Pairs
    are compared in float32, as ripser compares them.
    """
    matrix = np.asarray(distances, dtype=np.float32)
    rank = int(START * (matrix.size - 1))
    start = np.partition(matrix, rank, axis=None)[rank]
    close = (matrix <= start).astype(np.float32)
    first, second = np.nonzero(np.triu((close == 0) & (close @ close == 0)))
    if len(first) > 32 * len(matrix):
        return None
    born = start
    for part in range(0, len(first), CHUNK):
        one, two = first[part : part + CHUNK], second[part : part + CHUNK]
        between = matrix[one, two]
        bare = np.maximum(matrix[one], matrix[two]).min(axis=1) >= between  # the two ends themselves are not shorter
        born = max(born, between[bare].max(initial=0.0))
    return float(born)


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
