"""An ensemble: members differ by seed alone, finished ones are read and not trained again; codes learn their bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lib.datasets import odor
from lib.errors import BookError
from lib.models import OdorMapConfig, molecule_graphs
from lib.trainers import codes, odor_ensemble, odor_map, train_ensemble


@pytest.fixture(scope="module")
def task():
    table = odor.load("pocket").head(60)
    labels = odor.label_matrix(table)
    labels = np.ascontiguousarray(labels[:, labels.sum(axis=0) >= 8])
    sizes = OdorMapConfig(
        labels=labels.shape[1], node_width=8, edge_hidden=4, bond_width=8, hidden=(12,), embedding=6, message_steps=2
    )
    return sizes, molecule_graphs(odor.molecules(table["smiles"])), labels


def test_members_share_the_split_and_differ_in_the_seed(task):
    config, graphs, labels = task
    one, two = train_ensemble(config, graphs, labels, [0, 1], epochs=1)
    assert np.array_equal(one.split.train, two.split.train)
    assert not np.allclose(odor_map.embed(one.model, graphs), odor_map.embed(two.model, graphs))
    again = train_ensemble(config, graphs, labels, [1], epochs=1)[0]
    assert np.array_equal(odor_map.embed(again.model, graphs), odor_map.embed(two.model, graphs))


def test_finished_members_are_read(task, tmp_path, monkeypatch):
    config, graphs, labels = task
    before = train_ensemble(config, graphs, labels, [3], epochs=1, folder=tmp_path)[0]
    assert len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr(odor_ensemble, "train", lambda *a, **k: pytest.fail("trained again"))
    after = train_ensemble(config, graphs, labels, [3], epochs=1, folder=tmp_path)[0]
    assert np.array_equal(odor_map.embed(before.model, graphs), odor_map.embed(after.model, graphs))


@pytest.mark.slow
def test_members_trained_side_by_side_are_the_same(task, tmp_path):
    config, graphs, labels = task
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        alone = train_ensemble(config, graphs, labels, [0, 1], epochs=1)
    finally:
        torch.set_num_threads(threads)
    apart = train_ensemble(config, graphs, labels, [0, 1], epochs=1, folder=tmp_path, workers=2)
    for one, two in zip(alone, apart, strict=True):
        assert np.array_equal(odor_map.embed(one.model, graphs), odor_map.embed(two.model, graphs))
    with pytest.raises(BookError, match="2 workers have no place"):
        train_ensemble(config, graphs, labels, [0], epochs=1, workers=2)


@pytest.mark.parametrize("change", ["epochs", "labels", "split"])
def test_whatever_a_member_depends_on_has_its_own_file(task, tmp_path, change):
    config, graphs, labels = task
    train_ensemble(config, graphs, labels, [0], epochs=1, folder=tmp_path)
    marks = labels.copy()
    marks[0] ^= change == "labels"
    epochs, split = 2 if change == "epochs" else 1, 1 if change == "split" else 0
    train_ensemble(config, graphs, marks, [0], epochs=epochs, folder=tmp_path, split_seed=split)
    assert len(list(tmp_path.iterdir())) == 2


def test_codes_hold_their_bits():
    rng = np.random.default_rng(0)
    causes = rng.random((120, 3)) < 0.5
    bits = np.repeat(causes, 10, axis=1)
    found, left = codes(bits, 6, generator=torch.Generator().manual_seed(0), epochs=200, rate=1e-2)
    _, worse = codes(bits, 6, generator=torch.Generator().manual_seed(0), epochs=1, rate=1e-2)
    assert found.shape == (120, 6)
    assert left < 0.05 < worse
    with pytest.raises(BookError, match="width=0"):
        codes(bits, 0, generator=torch.Generator())
