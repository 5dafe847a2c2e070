"""Training of the odor map: the loss against its formula, learning that shows, the same bits twice, files that hold."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lib.datasets import odor
from lib.errors import BookError
from lib.models import OdorMap, OdorMapConfig, molecule_graphs
from lib.models.molecule_graph import MoleculeGraphs
from lib.trainers import odor_map
from lib.trainers.odor_map import Recipe, Split

SMALL = OdorMapConfig(labels=6, node_width=16, edge_hidden=8, bond_width=8, hidden=(24,), embedding=20, dropout=0.05)
QUICK = Recipe(batch=16, rate=1e-2, halve_every=60)


def draw(seed: int) -> torch.Generator:
    """A generator with a seed."""
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def graphs() -> MoleculeGraphs:
    """48 molecules of the pocket table."""
    return molecule_graphs(odor.molecules(odor.load("pocket")["smiles"][:48]))


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    """Their six most frequent labels."""
    every = odor.label_matrix(odor.load("pocket"))[:48]
    return every[:, np.argsort(-every.sum(axis=0), kind="stable")[: SMALL.labels]]


@pytest.fixture(scope="module")
def split() -> Split:
    """32 to learn, 16 held out, spread over the table."""
    held_out = np.arange(0, 48, 3)
    return Split(np.setdiff1d(np.arange(48), held_out), held_out)


@pytest.fixture(scope="module")
def trained(graphs, labels, split) -> odor_map.TrainedMap:
    """A short training."""
    return odor_map.train(SMALL, graphs, labels, split, generator=draw(0), epochs=3, recipe=QUICK)


# The loss


@pytest.mark.parametrize(
    ("imbalance", "expected"),
    [("count over most", [np.log(2), np.log(1.5), np.log(1.25)]), ("most over count", np.log([2, 3, 5]))],
)
def test_label_weights_are_the_formula(imbalance, expected):
    labels = np.zeros((8, 3), dtype=bool)
    for label, count in enumerate((8, 4, 2)):
        labels[:count, label] = True
    np.testing.assert_allclose(odor_map.label_weights(labels, imbalance), expected)


def test_a_label_on_no_training_row_is_refused():
    labels = np.array([[True, False], [True, False]])
    with pytest.raises(BookError, match="label 1"):
        odor_map.label_weights(labels)


def test_the_loss_is_a_softmax_over_x_and_its_complement():
    outputs = torch.randn(7, 5, generator=draw(1))
    targets = (torch.rand(7, 5, generator=draw(2)) < 0.4).float()
    weights = torch.rand(5, generator=draw(3))
    pairs = torch.stack([1 - outputs, outputs], dim=1)
    each = torch.nn.functional.cross_entropy(pairs, targets.long(), reduction="none")
    expected = sum(float(each[row] @ weights) for row in range(7)) / 7
    assert float(odor_map.weighted_cross_entropy(outputs, targets, weights)) == pytest.approx(expected, rel=1e-6)
    plain = torch.nn.functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none")
    assert float((plain * weights).sum(dim=1).mean()) != pytest.approx(expected, rel=1e-2)


def test_the_penalty_sees_weights_and_no_biases():
    model = OdorMap(SMALL)
    expected = 0.0
    for name, weight in model.named_parameters():
        if not name.endswith(("bias", "bias_ih", "bias_hh")):
            values = weight.detach().double().numpy()
            expected += np.abs(values).sum() + np.sqrt((values**2).sum())
    assert float(odor_map.weight_norms(model).detach()) == pytest.approx(expected, rel=1e-5)
    with torch.no_grad():
        model.message_bias.add_(1.0)
    assert float(odor_map.weight_norms(model).detach()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("rows", "sizes"), [(40, [16, 16, 8]), (33, [16, 17]), (16, [16]), (1, [1])], ids=lambda value: str(value)
)
def test_batches_visit_each_row_once(rows, sizes):
    chosen = torch.arange(100, 100 + rows)
    parts = odor_map.batches(chosen, 16, draw(0))
    assert [len(part) for part in parts] == sizes
    assert torch.equal(torch.cat(parts).sort().values, chosen)
    assert rows == 1 or not torch.equal(torch.cat(parts), chosen)


# Learning


def test_a_small_map_learns_32_molecules_by_heart(graphs, labels, split):
    config = replace(SMALL, node_width=32, bond_width=16, hidden=(64,), dropout=0.0)
    run = {"generator": draw(0), "epochs": 200, "recipe": Recipe(batch=32, rate=1e-2), "evaluate_every": 200}
    learnt = odor_map.train(config, graphs, labels, split, **run)
    losses = [epoch.loss for epoch in learnt.history]
    assert losses[-1] < losses[0] / 20
    known = odor_map.score_rows(learnt.model, graphs, labels, split.train)
    before = odor_map.score_rows(OdorMap(config, draw(0)), graphs, labels, split.train)
    assert known > 0.98
    assert before < 0.8


def test_history_and_log_say_what_happened(graphs, labels, split):
    seen = []
    recipe = replace(QUICK, batch=20, halve_every=3)
    run = {"generator": draw(0), "epochs": 5, "recipe": recipe, "evaluate_every": 2, "log": seen.append}
    trained = odor_map.train(SMALL, graphs, labels, split, **run)
    assert tuple(seen) == trained.history
    assert [epoch.step for epoch in seen] == [2, 4, 6, 8, 10]
    assert [epoch.rate for epoch in seen] == [1e-2, 5e-3, 5e-3, 2.5e-3, 1.25e-3]
    assert [epoch.held_out_auroc is None for epoch in seen] == [True, False, True, False, False]
    assert trained.held_out_auroc == odor_map.score_rows(trained.model, graphs, labels, split.held_out)


def test_held_out_labels_are_never_learnt_from(graphs, labels, split, trained):
    turned = labels.copy()
    turned[split.held_out] = ~turned[split.held_out]
    again = odor_map.train(SMALL, graphs, turned, split, generator=draw(0), epochs=3, recipe=QUICK)
    assert np.array_equal(odor_map.embed(again.model, graphs), odor_map.embed(trained.model, graphs))
    assert again.held_out_auroc == pytest.approx(1 - trained.held_out_auroc)


def test_the_same_seed_gives_the_same_bits(graphs, labels, split, trained):
    before = torch.get_rng_state()
    runs = [odor_map.train(SMALL, graphs, labels, split, generator=draw(s), epochs=3, recipe=QUICK) for s in (0, 1)]
    assert torch.equal(before, torch.get_rng_state())
    assert runs[0].history == trained.history
    for (name, weight), again in zip(
        trained.model.state_dict().items(), runs[0].model.state_dict().values(), strict=True
    ):
        assert torch.equal(weight, again), name
    assert runs[1].history != trained.history


def test_predictions_are_probabilities_of_the_loss(graphs, trained):
    model = trained.model.train()
    outputs, embeddings = odor_map.run(model, graphs)
    assert model.training
    model.eval()
    odds = torch.stack([1 - outputs, outputs]).softmax(dim=0)[1]
    np.testing.assert_allclose(odor_map.predict(model, graphs), odds, rtol=1e-5)
    assert odor_map.embed(model, graphs).shape == embeddings.shape == (48, SMALL.embedding)


def test_embeddings_do_not_depend_on_the_chunk(graphs, trained, monkeypatch):
    whole = odor_map.embed(trained.model, graphs)
    monkeypatch.setattr(odor_map, "CHUNK", 5)
    np.testing.assert_allclose(odor_map.embed(trained.model, graphs), whole, rtol=1e-4, atol=1e-5)


def test_auroc_counts_pairs_and_skips_labels_that_rank_nothing():
    labels = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 1], [0, 0, 1], [1, 0, 0]], dtype=bool)
    scores = np.random.default_rng(0).integers(0, 3, labels.shape).astype(float)
    areas = []
    for label in (0, 2):
        on, off = scores[labels[:, label], label], scores[~labels[:, label], label]
        areas.append(np.mean((on[:, None] > off) + 0.5 * (on[:, None] == off)))
    assert odor_map.auroc(labels, scores) == pytest.approx(np.mean(areas))
    with pytest.raises(BookError, match="none of 1 labels"):
        odor_map.auroc(labels[:, 1:2], scores[:, 1:2])


# What does not fit


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labels": np.ones((48, 6))}, "bool"),
        ({"labels": np.ones((48, 5), dtype=bool)}, r"\(48, 6\)"),
        ({"split": Split(np.arange(40), np.arange(39, 48))}, "row 39 is in both"),
        ({"split": Split(np.arange(40), np.arange(40, 49))}, "held_out"),
        ({"split": Split(np.arange(1), np.arange(40, 48))}, "train"),
        ({"epochs": 0}, "epochs=0"),
    ],
    ids=["float labels", "too few labels", "overlap", "row beyond", "one row", "no epochs"],
)
def test_what_does_not_fit_is_refused(graphs, labels, split, change, says):
    given = {"labels": labels, "split": split, "epochs": 1, **change}
    with pytest.raises(BookError, match=says):
        odor_map.train(SMALL, graphs, given.pop("labels"), given.pop("split"), generator=draw(0), **given)


@pytest.mark.parametrize(
    "wrong",
    [{"batch": 1}, {"rate": 0.0}, {"halve_every": 0}, {"penalty": -1.0}, {"imbalance": "rare"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_recipes_that_make_no_training_are_refused(wrong):
    with pytest.raises(BookError, match=next(iter(wrong))):
        Recipe(**wrong)


# Files


def test_a_saved_map_comes_back(tmp_path, graphs, trained):
    path = odor_map.save(trained, tmp_path / "map.safetensors")
    assert path.stat().st_mode & 0o777 == 0o644
    back = odor_map.load(path)
    assert np.array_equal(odor_map.embed(back.model, graphs), odor_map.embed(trained.model, graphs))
    assert (back.model.config, back.recipe, back.history) == (trained.model.config, trained.recipe, trained.history)
    assert np.array_equal(back.split.held_out, trained.split.held_out)
    assert odor_map.save(back, tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["again.safetensors", "map.safetensors"]


def test_half_precision_halves_the_weights_and_little_else(tmp_path, graphs, trained):
    whole = odor_map.save(trained, tmp_path / "whole.safetensors").stat().st_size
    path = odor_map.save(trained, tmp_path / "half.safetensors", torch.float16)
    weights = sum(value.numel() for value in trained.model.state_dict().values() if value.is_floating_point())
    assert abs(whole - path.stat().st_size - 2 * weights) < 200  # the header's offsets have fewer digits
    near, exact = odor_map.embed(odor_map.load(path).model, graphs), odor_map.embed(trained.model, graphs)
    assert near.dtype == np.float32
    assert 0 < np.abs(near - exact).max() < 0.02 * np.abs(exact).max()


@pytest.mark.parametrize("spoil", ["cut", "not safetensors", "no record", "other shape", "missing"])
def test_a_file_that_is_no_map_is_refused_by_name(tmp_path, trained, spoil):
    from safetensors.torch import load_file, save_file

    path = odor_map.save(trained, tmp_path / "map.safetensors")
    if spoil == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif spoil == "not safetensors":
        path.write_text("no map")
    elif spoil == "no record":
        save_file(load_file(path), path)
    elif spoil == "other shape":
        record = {"config": {"labels": 7, "hidden": [24]}}
        save_file(load_file(path), path, metadata={"odor_map": json.dumps(record)})
    else:
        path.unlink()
    with pytest.raises(BookError, match=r"map\.safetensors is no odor map"):
        odor_map.load(path)


def test_a_failed_save_leaves_the_old_file(tmp_path, trained, monkeypatch):
    path = odor_map.save(trained, tmp_path / "map.safetensors")
    before = path.read_bytes()

    def full(*arguments: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(odor_map.os, "replace", full)
    with pytest.raises(BookError, match="no space left"):
        odor_map.save(trained, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["map.safetensors"]
