"""Distances against other libraries, and the rows that have nothing in common with anything."""

from __future__ import annotations

import numpy as np
import pytest
from rdkit import DataStructs
from rdkit.Chem import rdFingerprintGenerator
from scipy.spatial.distance import cdist

from lib.analysis import distances, fingerprints
from lib.errors import BookError

SMILES = ["CCO", "CCCCO", "CC(=O)OCC", "c1ccccc1C=O", "COc1cc(C=O)ccc1O", "CC1=CCC(CC1)C(C)=C", "O=C1CCCCCCCCCCCCCC1"]


@pytest.fixture(scope="module")
def bits() -> np.ndarray:
    return np.random.default_rng(0).random((40, 60)) < 0.2


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    return np.random.default_rng(1).poisson(0.4, (40, 60))


def test_jaccard_is_scipys(bits):
    assert np.array_equal(distances.jaccard(bits), cdist(bits, bits, "jaccard"))


def test_jaccard_is_rdkits_on_molecules():
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048)
    prints = [generator.GetFingerprint(molecule) for molecule in fingerprints.parse(SMILES)]
    expected = [[1 - DataStructs.TanimotoSimilarity(a, b) for b in prints] for a in prints]
    found = distances.jaccard(fingerprints.morgan_bits(SMILES, radius=2))
    np.testing.assert_allclose(found, expected, atol=1e-15)


def test_tanimoto_is_the_displayed_formula(counts):
    found = distances.generalised_tanimoto(counts)
    for i, x in enumerate(counts[:10]):
        for j, y in enumerate(counts[:10]):
            inner = float(x @ y)
            expected = 1 - inner / (x @ x + y @ y - inner)
            assert found[i, j] == pytest.approx(0.0 if i == j else expected, abs=1e-15)


def test_tanimoto_on_bits_is_jaccard(bits):
    np.testing.assert_allclose(distances.generalised_tanimoto(bits), distances.jaccard(bits), atol=1e-15)


def test_tanimoto_differs_from_the_min_max_form(counts):
    """RDKit's similarity of counts is sum(min) / sum(max): another distance, which must not slip in."""
    x, y = counts[0], counts[1]
    minmax = 1 - np.minimum(x, y).sum() / np.maximum(x, y).sum()
    assert abs(distances.generalised_tanimoto(counts)[0, 1] - minmax) > 1e-3


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_dense_metrics_are_scipys(metric):
    rows = np.random.default_rng(2).normal(size=(30, 7))
    np.testing.assert_allclose(distances.distance_matrix(rows, metric), cdist(rows, rows, metric), atol=1e-12)


@pytest.mark.parametrize("metric", list(distances.DISTANCES))
def test_every_matrix_is_symmetric_with_a_zero_diagonal(metric, bits):
    found = distances.distance_matrix(bits, metric)
    assert found.shape == (40, 40)
    assert found.dtype == float
    assert not np.diag(found).any()
    assert np.array_equal(found, found.T)
    assert found.min() >= 0


@pytest.mark.parametrize("metric", ["jaccard", "generalised_tanimoto"])
def test_empty_rows_are_equal_to_each_other_and_far_from_the_rest(metric):
    rows = np.array([[0, 0, 0], [0, 0, 0], [1, 0, 1]])
    assert distances.distance_matrix(rows, metric).tolist() == [[0, 0, 1], [0, 0, 1], [1, 1, 0]]


def test_refusals_name_the_value():
    with pytest.raises(BookError, match=r"'manhattan'.*jaccard"):
        distances.distance_matrix(np.eye(3), "manhattan")
    with pytest.raises(BookError, match="-2"):
        distances.generalised_tanimoto(np.array([[1, -2], [0, 1]]))
    with pytest.raises(BookError, match="row 1"):
        distances.cosine(np.array([[1.0, 0.0], [0.0, 0.0]]))
