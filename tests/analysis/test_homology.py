"""H1 on shapes whose loops are known, against a second library, and under moves that must not matter."""

from __future__ import annotations

import numpy as np
import pytest

from lib.analysis.distances import euclidean
from lib.analysis.homology import farthest_points, h1_diagram, persistence, top_persistence
from lib.errors import BookError


def circle(count: int, radius: float = 1.0) -> np.ndarray:
    angle = 2 * np.pi * np.arange(count) / count
    return radius * np.column_stack([np.cos(angle), np.sin(angle)])


@pytest.mark.parametrize("count", [4, 5, 6, 7, 12, 40, 100])
def test_a_regular_polygon_has_one_loop_with_the_known_birth_and_death(count):
    """Birth is the side; death the shortest chord that spans a third of the circle (Adamaszek and Adams 2017)."""
    diagram = h1_diagram(euclidean(circle(count)))
    birth, death = 2 * np.sin(np.pi / count), 2 * np.sin(np.pi * np.ceil(count / 3) / count)
    assert diagram.shape == (1, 2)
    assert diagram[0] == pytest.approx([birth, death], abs=1e-6)


def test_a_triangle_and_a_line_have_no_loop():
    assert h1_diagram(euclidean(circle(3))).shape == (0, 2)
    assert h1_diagram(euclidean(np.arange(20.0)[:, None])).shape == (0, 2)
    assert persistence(np.zeros((1, 1))).shape == (0,)


def test_a_figure_eight_has_two_loops():
    eight = np.concatenate([circle(40) - [1, 0], circle(40)[np.arange(40) != 20] + [1, 0]])
    values = persistence(euclidean(eight))
    assert values[1] > 1.4
    assert values[0] == pytest.approx(values[1], rel=0.05)
    assert (values[2:] < 0.2).all()


def test_a_sphere_has_no_long_loop():
    points = np.random.default_rng(0).normal(size=(150, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    assert persistence(euclidean(points))[0] < 0.5 < 1.4 < persistence(euclidean(circle(40)))[0]


def test_the_order_of_points_does_not_matter():
    rng = np.random.default_rng(1)
    between = euclidean(rng.normal(size=(60, 3)))
    order = rng.permutation(60)
    np.testing.assert_allclose(persistence(between), persistence(between[np.ix_(order, order)]), atol=1e-7)


@pytest.mark.parametrize("factor", [0.01, 3.0, 1000.0])
def test_scaling_the_distances_scales_the_diagram(factor):
    between = euclidean(np.random.default_rng(2).normal(size=(60, 3)))
    np.testing.assert_allclose(h1_diagram(factor * between), factor * h1_diagram(between), rtol=1e-5)


def test_a_small_move_of_the_points_moves_the_longest_loop_a_little():
    """Stability (Cohen-Steiner and others 2007): no loop changes by more than twice the largest move of a distance."""
    rng = np.random.default_rng(3)
    points = circle(50) + rng.normal(scale=0.1, size=(50, 2))
    first, second = euclidean(points), euclidean(points + rng.normal(scale=0.01, size=(50, 2)))
    moved = abs(persistence(first)[0] - persistence(second)[0])
    assert 0 < moved <= 2 * np.abs(first - second).max()


@pytest.mark.parametrize("seed", range(4))
def test_gudhi_finds_the_same_diagram(seed):
    import gudhi

    between = euclidean(np.random.default_rng(seed).normal(size=(40, 3)))
    tree = gudhi.RipsComplex(distance_matrix=between).create_simplex_tree(max_dimension=2)
    tree.compute_persistence()
    expected = tree.persistence_intervals_in_dimension(1)
    found = h1_diagram(between)
    assert len(found) == len(expected) > 5
    np.testing.assert_allclose(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)], atol=1e-6)


def test_diagrams_come_longest_first_and_top_is_padded():
    between = euclidean(np.random.default_rng(4).normal(size=(50, 3)))
    diagram = h1_diagram(between)
    lived = diagram[:, 1] - diagram[:, 0]
    assert (np.diff(lived) <= 0).all()
    assert np.array_equal(lived, persistence(between))
    assert top_persistence([0.2, 0.5], 4).tolist() == [0.5, 0.2, 0, 0]
    assert top_persistence(lived).tolist() == lived[:10].tolist()


def test_landmarks_spread_over_the_cloud():
    """Greedy choice covers within twice the best radius, and no two landmarks are closer than that radius."""
    between = euclidean(np.random.default_rng(5).normal(size=(200, 2)))
    chosen = farthest_points(between, 20, np.random.default_rng(0))
    assert len(set(chosen.tolist())) == 20
    cover = between[:, chosen].min(axis=1).max()
    apart = between[np.ix_(chosen, chosen)][~np.eye(20, dtype=bool)].min()
    assert apart >= cover
    random = np.random.default_rng(0).choice(200, 20, replace=False)
    assert cover < between[:, random].min(axis=1).max()


def test_landmarks_start_where_the_generator_says_and_survive_duplicates():
    between = np.zeros((6, 6))
    chosen = farthest_points(between, 6, np.random.default_rng(8))
    assert chosen[0] == np.random.default_rng(8).integers(6)
    assert sorted(chosen.tolist()) == list(range(6))


def test_refusals_name_the_value():
    with pytest.raises(BookError, match=r"\(3, 2\)"):
        h1_diagram(np.zeros((3, 2)))
    with pytest.raises(BookError, match="symmetric"):
        h1_diagram(np.triu(np.ones((3, 3)), 1))
    with pytest.raises(BookError, match="not finite"):
        h1_diagram(np.full((3, 3), np.nan))
    with pytest.raises(BookError, match=r"0 landmarks.*5 points"):
        farthest_points(np.zeros((5, 5)), 0, np.random.default_rng(0))
