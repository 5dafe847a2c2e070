"""Squeezed tables: what each way keeps, what it must not keep, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from lib.analysis.bottleneck import components_for, principal_components, random_projection, squeezed
from lib.analysis.distances import distance_matrix
from lib.analysis.fingerprints import DENSE_NULLS
from lib.errors import BookError


def low_rank(rows: int = 60, rank: int = 3, width: int = 20) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, rank)) @ rng.normal(size=(rank, width)) + 5


def test_components_of_a_flat_table_keep_all_distances():
    table = low_rank()
    found = principal_components(table, 3)
    assert found.shape == (60, 3)
    assert np.allclose(distance_matrix(found, "euclidean"), distance_matrix(table, "euclidean"))
    assert (np.diff(found.var(axis=0)) <= 0).all()


def test_a_projection_keeps_squared_distances_on_average():
    table = np.random.default_rng(1).normal(size=(30, 400))
    found = random_projection(table, 200, np.random.default_rng(2))
    upper = np.triu_indices(30, 1)
    ratio = (distance_matrix(found, "euclidean")[upper] / distance_matrix(table, "euclidean")[upper]) ** 2
    assert ratio.mean() == pytest.approx(1, abs=0.03)
    assert np.array_equal(found, random_projection(table, 200, np.random.default_rng(2)))


def test_components_for_a_share():
    sizes = np.array([8.0, 1.0, 0.6, 0.4])
    rng = np.random.default_rng(3)
    axes, _ = np.linalg.qr(rng.normal(size=(50, 4)) - rng.normal(size=(50, 4)).mean(axis=0))
    axes -= axes.mean(axis=0)
    axes, _ = np.linalg.qr(axes)
    table = axes * np.sqrt(sizes)
    assert [components_for(table, share) for share in (0.5, 0.85, 0.95, 0.99)] == [1, 2, 3, 4]
    with pytest.raises(BookError, match=r"share=1\.0"):
        components_for(table, 1.0)


def test_what_cannot_be_squeezed_is_refused():
    with pytest.raises(BookError, match="60 rows of 20 numbers cannot be squeezed to 21"):
        principal_components(low_rank(), 21)
    with pytest.raises(BookError, match="squeezed to 0"):
        random_projection(low_rank(), 0, np.random.default_rng(0))


def test_a_squeezed_table_has_the_nulls_of_dense_ones():
    one = squeezed("map", low_rank(), "cosine")
    assert (one.metric, one.nulls) == ("cosine", DENSE_NULLS)
