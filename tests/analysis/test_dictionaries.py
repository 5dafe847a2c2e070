"""Mixtures and dictionaries: sources are found where the assumption of a method holds, and not where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from lib.analysis import dictionaries as ds
from lib.errors import BookError


@pytest.mark.parametrize("active", [0.1, 0.5, 1.0])
def test_a_mixture_is_what_it_says(active):
    mixture = ds.sparse_mixture(12, 5, 20_000, active=active, noise=0.1, seed=3)
    rest = mixture.signals - mixture.sources @ mixture.maps
    assert rest.std() == pytest.approx(0.1, rel=0.02)
    np.testing.assert_allclose(np.linalg.norm(mixture.maps, axis=1), 1)
    np.testing.assert_allclose(mixture.sources.var(axis=0), 1, rtol=0.15)
    assert (mixture.sources != 0).mean() == pytest.approx(active, abs=0.01)
    assert np.abs(np.corrcoef(mixture.sources.T) - np.eye(5)).max() < 0.05


@pytest.mark.parametrize("active", [0.1, 1.0])
def test_independent_components_find_the_sources_and_principal_ones_do_not(active):
    mixture = ds.sparse_mixture(12, 6, 8_000, active=active)
    independent = ds.score(mixture, *ds.independent_components(mixture.signals, 6))
    principal = ds.score(mixture, *ds.principal_components(mixture.signals, 6))
    assert independent.maps > 0.97
    assert independent.courses > 0.97
    assert independent.maps > principal.maps + 0.1
    assert independent.explained == pytest.approx(principal.explained, abs=1e-3)  # the same subspace
    assert independent.active == 1


def test_more_sources_than_channels_are_beyond_independent_components():
    mixture = ds.sparse_mixture(8, 16, 8_000, active=0.1)
    codes, atoms = ds.independent_components(mixture.signals, 16)
    assert atoms.shape == (8, 8)
    found = ds.score(mixture, codes, atoms)
    assert found.maps < 0.6
    assert found.dead == pytest.approx(0.5)


def test_opposite_atoms_become_one_signed_atom():
    rng = np.random.default_rng(0)
    mixture = ds.sparse_mixture(10, 4, 1_000, active=0.2, noise=0.0)
    both = np.hstack([np.maximum(mixture.sources, 0) / 2, np.maximum(-mixture.sources, 0)])
    atoms = np.vstack([2 * mixture.maps, -mixture.maps])
    order = rng.permutation(8)
    codes, signed = ds.folded(both[:, order], atoms[order])
    assert signed.shape == (4, 10)
    np.testing.assert_allclose(codes @ signed, mixture.signals, atol=1e-12)
    found = ds.score(mixture, codes, signed, np.zeros(10))
    assert (found.maps, found.courses) == pytest.approx((1, 1))


def test_atoms_without_an_opposite_stay_as_they_are():
    codes, atoms = np.random.default_rng(1).random((50, 3)), np.eye(3)
    kept, same = ds.folded(codes, atoms)
    np.testing.assert_array_equal(kept, codes)
    np.testing.assert_array_equal(same, atoms)


def test_a_sparse_autoencoder_finds_sparse_sources_beyond_the_channels():
    import torch

    from lib.models.sparse_autoencoder import TopKSAE
    from lib.trainers.sparse_autoencoder import SAETraining, train_sae

    mixture = ds.sparse_mixture(8, 12, 6_000, active=0.08)
    signals = torch.tensor(mixture.signals, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    model = TopKSAE(8, 48, 2, generator)
    before = ds.score(mixture, *ds.of_autoencoder(model, mixture.signals))
    train_sae(model, signals, SAETraining(steps=800, rate=3e-3), generator=generator)
    codes, atoms, offset = ds.of_autoencoder(model, mixture.signals)
    found = ds.score(mixture, codes, atoms, offset)
    assert found.maps > max(0.9, before.maps + 0.05)
    assert found.maps > ds.score(mixture, *ds.independent_components(mixture.signals, 12)).maps + 0.2
    assert found.explained > max(0.8, before.explained)


def test_refusals_name_the_value():
    with pytest.raises(BookError, match="active=0"):
        ds.sparse_mixture(4, 4, 10, active=0.0)
    with pytest.raises(BookError, match="1 sources"):
        ds.sparse_mixture(4, 1, 10)
