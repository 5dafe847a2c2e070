"""Matching and images of diagrams: identical pictures, small moves, and pictures that have nothing in common."""

from __future__ import annotations

import numpy as np
import pytest

from lib.analysis.diagrams import image_similarity, images, match
from lib.errors import BookError

LOOPS = np.array([[1.0, 4.0], [0.5, 2.0], [2.0, 3.0]])


def test_a_diagram_matches_itself():
    found = match(LOOPS, LOOPS)
    assert (found.matched, found.shift, found.cost) == (1.0, pytest.approx(0), pytest.approx(0))


def test_a_small_move_is_measured():
    found = match(LOOPS, LOOPS + np.array([0.1, 0.0]))
    assert found.matched == 1.0
    assert found.cost == pytest.approx(0.3)
    assert found.shift == pytest.approx(0.1)


def test_far_loops_retire_to_the_diagonal():
    found = match(LOOPS[:1], np.array([[40.0, 40.2]]))
    assert found.matched == 0.0
    assert np.isnan(found.shift)
    assert found.cost == pytest.approx((3 + 0.2) / np.sqrt(2))  # the way of each loop to the diagonal
    assert found.relative == pytest.approx(1)


def test_the_relative_cost_has_no_unit():
    moved = LOOPS + np.array([0.1, 0.0])
    small, large = match(LOOPS, moved), match(1000 * LOOPS, 1000 * moved)
    assert 0 < small.relative < 0.1
    assert large.relative == pytest.approx(small.relative)
    assert match(LOOPS, LOOPS).relative == pytest.approx(0)


def test_an_empty_diagram_is_refused():
    for call in (lambda: match(LOOPS, LOOPS[:0]), lambda: images([LOOPS[:0]])):
        with pytest.raises(BookError, match="without loops"):
            call()


def test_images_share_a_grid_and_tell_pictures_apart():
    pictures = images([LOOPS, LOOPS + 0.05, LOOPS[::-1], np.array([[6.0, 6.5]])])
    assert pictures.shape == (4, 20, 20)
    alike = image_similarity(pictures)
    assert np.allclose(np.diag(alike), 1)
    assert alike[0, 2] == pytest.approx(1)
    assert alike[0, 1] > 0.9
    assert alike[0, 3] < 0.1
