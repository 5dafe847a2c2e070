"""Neighbourhood features: by hand on shapes that are known, and unchanged by what must not matter."""

from __future__ import annotations

import numpy as np
import pytest

from lib.analysis.distances import distance_matrix
from lib.analysis.patches import GEOMETRY, TOPOLOGY, geometry, nearest, topology
from lib.errors import BookError


def cloud(count: int = 60, width: int = 5) -> tuple[np.ndarray, np.ndarray]:
    points = np.random.default_rng(0).normal(size=(count, width))
    return points, distance_matrix(points, "euclidean")


def test_neighbours_are_the_nearest_and_never_the_point_itself():
    points, between = cloud()
    near = nearest(between, 7)
    for focal in range(len(points)):
        expected = [other for other in np.argsort(between[focal], kind="stable") if other != focal][:7]
        assert near[focal].tolist() == expected


def test_a_duplicate_is_its_twin_s_neighbour():
    points = np.array([[0.0], [0.0], [1.0], [5.0]])
    near = nearest(distance_matrix(points, "euclidean"), 1)
    assert near[:, 0].tolist() == [1, 0, 0, 2]


@pytest.mark.parametrize("count", [0, 60])
def test_a_count_that_cannot_be_met_is_refused(count):
    with pytest.raises(BookError, match="give 1 to 59"):
        nearest(cloud()[1], count)


def test_geometry_by_hand():
    points, between = cloud()
    near = nearest(between, 6)
    found = dict(zip(GEOMETRY, geometry(between, points, near)[3], strict=True))
    patch = points[[3, *near[3]]]
    spokes = np.linalg.norm(patch[1:] - patch[0], axis=1)
    pairs = [np.linalg.norm(a - b) for i, a in enumerate(patch) for b in patch[:i]]
    s = np.linalg.svd(patch - patch.mean(axis=0), compute_uv=False)
    assert found["mean distance to the focal point"] == pytest.approx(spokes.mean())
    assert found["their 90th percentile"] == pytest.approx(np.quantile(spokes, 0.9))
    assert found["spread of the distances in the patch"] == pytest.approx(np.std(pairs))
    assert found["density"] == pytest.approx(1 / (spokes.mean() + 1e-8))
    assert found["participation ratio"] == pytest.approx((s**2).sum() ** 2 / (s**4).sum())
    assert found["variance beyond three components"] == pytest.approx((s[3:] ** 2).sum() / (s**2).sum())


def test_wide_and_narrow_points_give_the_same_spectrum():
    points, between = cloud(width=3)
    wide = np.column_stack([points, np.zeros((len(points), 100))])
    near = nearest(between, 8)
    assert np.allclose(geometry(between, points, near), geometry(between, wide, near))


def test_identical_points_have_no_shape():
    points = np.zeros((6, 3))
    between = distance_matrix(points, "euclidean")
    found = geometry(between, points, nearest(between, 4))
    assert np.isfinite(found).all()
    assert not found[:, 7:].any()


def test_topology_of_a_ring_and_of_a_line():
    angle = 2 * np.pi * np.arange(12) / 12
    ring = np.column_stack([np.cos(angle), np.sin(angle)])
    line = np.column_stack([np.arange(12.0), np.zeros(12)])
    for points, loops in ((ring, 1), (line, 0)):
        between = distance_matrix(points, "euclidean")
        found = topology(between, nearest(between, 11))
        assert found.shape == (12, len(TOPOLOGY))
        assert found[:, 0].tolist() == [loops] * 12
    side, chord = 2 * np.sin(np.pi / 12), 2 * np.sin(np.pi / 3)
    between = distance_matrix(ring, "euclidean")
    assert topology(between, nearest(between, 11))[0, 1] == pytest.approx(chord - side, abs=1e-6)
