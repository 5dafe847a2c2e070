"""Fitting a residual quantiser: known clusters found again, every stage a gain, scikit-learn as the judge."""

import itertools

import numpy as np
import pytest

from lib.errors import BookError
from lib.trainers.residual_vq import fit_residual_vq, k_means, nearest


def clusters(count: int, each: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((count, 6)).astype(np.float32) * 5
    points = np.repeat(centres, each, axis=0) + 0.1 * rng.standard_normal((count * each, 6)).astype(np.float32)
    return centres, points


def test_finds_clusters_that_are_there() -> None:
    centres, points = clusters(4, 100)
    found = min(
        (k_means(points, 4, np.random.default_rng(seed)) for seed in range(12)),
        key=lambda c: ((points - c[nearest(points, c)]) ** 2).sum(),
    )
    apart = np.linalg.norm(found[:, None] - centres[None], axis=2).min(0)
    assert (apart < 0.1).all()


def test_is_as_good_as_scikit_learn() -> None:
    from sklearn.cluster import KMeans

    points = np.random.default_rng(1).standard_normal((3000, 5)).astype(np.float32)
    ours = k_means(points, 32, np.random.default_rng(0), rounds=20)
    loss = ((points - ours[nearest(points, ours)]) ** 2).sum()
    theirs = KMeans(32, n_init=1, init="random", max_iter=20, random_state=0).fit(points).inertia_
    assert loss < 1.05 * theirs


def test_nearest_is_nearest() -> None:
    rng = np.random.default_rng(2)
    points, centres = rng.standard_normal((9000, 3)), rng.standard_normal((7, 3))
    distances = np.linalg.norm(points[:, None] - centres[None], axis=2)
    np.testing.assert_array_equal(nearest(points, centres), distances.argmin(1))


def test_every_stage_leaves_less_and_the_same_seed_the_same() -> None:
    points = np.random.default_rng(3).standard_normal((2000, 8)).astype(np.float32)
    tables, mean = fit_residual_vq(points, 4, 16, np.random.default_rng(0))
    rest, left = points - mean, []
    for table in tables:
        rest = rest - table[nearest(rest, table)]
        left.append((rest**2).mean())
    assert all(a > b for a, b in itertools.pairwise(left))
    assert left[0] < ((points - mean) ** 2).mean()
    again, _ = fit_residual_vq(points, 4, 16, np.random.default_rng(0))
    np.testing.assert_array_equal(tables, again)


def test_an_empty_code_starts_anew() -> None:
    points = np.concatenate((np.zeros((50, 2)), np.ones((50, 2)))).astype(np.float32)
    found = k_means(points, 2, np.random.default_rng(0))
    assert {tuple(row) for row in found} == {(0.0, 0.0), (1.0, 1.0)}


def test_refuses_fewer_frames_than_codes() -> None:
    with pytest.raises(BookError, match="3 frames cannot fill 4 codes"):
        k_means(np.zeros((3, 2), np.float32), 4, np.random.default_rng(0))
