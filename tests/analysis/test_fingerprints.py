"""Representations: shapes, what they ignore, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

from lib.analysis import fingerprints
from lib.analysis.distances import DISTANCES
from lib.analysis.nulls import NULLS
from lib.errors import BookError

SMILES = ["CCO", "CC(=O)OCC", "c1ccccc1C=O", "COc1cc(C=O)ccc1O", "CC1=CC[C@@H](CC1)C(C)=C"]


@pytest.mark.parametrize("name", fingerprints.REPRESENTATIONS)
def test_every_representation_brings_its_distance_and_its_nulls(name):
    found = fingerprints.represent(name, SMILES)
    assert found.name == name
    assert len(found.matrix) == len(SMILES)
    assert found.metric in DISTANCES
    assert set(found.nulls) <= set(NULLS)


@pytest.mark.parametrize("radius", [2, 4])
def test_bits_are_where_the_counts_are(radius):
    bits, counts = fingerprints.morgan_bits(SMILES, radius), fingerprints.morgan_counts(SMILES, radius)
    assert bits.shape == (5, 2048)
    assert bits.dtype == bool
    assert np.array_equal(bits, counts > 0)
    assert counts.max() > 1


def test_a_wider_radius_only_adds_environments():
    assert not (fingerprints.morgan_bits(SMILES, 2) & ~fingerprints.morgan_bits(SMILES, 4)).any()


@pytest.mark.parametrize("name", fingerprints.REPRESENTATIONS)
def test_mirror_images_are_one_point(name):
    left, right, flat = (f"CC1=CC[C{mark}H](CC1)C(C)=C".replace("[CH]", "C") for mark in ("@", "@@", ""))
    rows = fingerprints.represent(name, [left, right, flat, "CCO"]).matrix
    assert np.array_equal(rows[0], rows[1])
    assert np.array_equal(rows[0], rows[2])
    assert not np.array_equal(rows[0], rows[3])


def test_physchem_of_ethanol():
    found = dict(zip(fingerprints.PHYSCHEM_FEATURES, fingerprints.physchem(["CCO"])[0], strict=True))
    assert found["molecular weight"] == pytest.approx(46.07, abs=0.01)
    assert found["polar surface area"] == pytest.approx(20.23, abs=0.01)
    assert (found["hydrogen-bond donors"], found["hydrogen-bond acceptors"]) == (1, 1)
    assert (found["rings"], found["aromatic rings"], found["heavy atoms"]) == (0, 0, 3)
    assert found["fraction of sp3 carbon"] == 1.0


def test_standardised_columns_have_mean_0_and_spread_1_and_a_constant_column_is_0():
    matrix = np.column_stack([np.random.default_rng(0).normal(5, 3, 50), np.full(50, 7.0)])
    found = fingerprints.standardise(matrix)
    assert found[:, 0].mean() == pytest.approx(0, abs=1e-12)
    assert found[:, 0].std() == pytest.approx(1)
    assert not found[:, 1].any()


def test_refusals_name_the_value(capfd):
    with pytest.raises(BookError, match="'C1CC'"):
        fingerprints.represent("bit_r4", ["CCO", "C1CC"])
    with pytest.raises(BookError, match=r"'ecfp'.*bit_r2"):
        fingerprints.represent("ecfp", SMILES)
    with pytest.raises(BookError, match="no molecule"):
        fingerprints.represent("physchem", [])
    assert capfd.readouterr().err == ""
