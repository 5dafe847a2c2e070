"""The odor map against its specification, its own plain forms, torch's recurrent layers, and symmetry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rdkit import Chem

from lib.datasets import odor
from lib.errors import BookError
from lib.models import OdorMap, OdorMapConfig, molecule_graphs
from lib.models.molecule_graph import ATOM_FEATURES, BOND_FEATURES, CHOICES, STARTS, MoleculeGraphs
from lib.models.odor_map import messages, messages_plain, molecule_softmax

SMILES = ("CC(=O)OCCC(C)C", "O=Cc1ccc(O)c(OC)c1", "CC1=CCC(CC1=O)C(C)=C", "C#CCO", "O", "CS", "[Na+].CC(=O)[O-]")
SMALL = OdorMapConfig(labels=5, node_width=8, edge_hidden=6, bond_width=4, hidden=(12, 10), embedding=9)


def graphs_of(*smiles: str) -> MoleculeGraphs:
    """Graphs in float64."""
    return double(molecule_graphs(odor.molecules(smiles)))


def double(graphs: MoleculeGraphs) -> MoleculeGraphs:
    """The same graphs with features in float64."""
    wide = {"atoms": graphs.atoms.double(), "bond_vectors": graphs.bond_vectors.double()}
    return MoleculeGraphs(**{**vars(graphs), **wide})


@pytest.fixture(name="model")
def lively() -> OdorMap:
    """A small float64 map in evaluation, with weights large enough to matter and norms away from their start."""
    model = OdorMap(SMALL, torch.Generator().manual_seed(1)).double().eval()
    noise = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(2.5)
        model.message_bias.normal_(generator=noise)
        for norm in model.norms:
            norm.running_mean.normal_(generator=noise)
            for positive in (norm.running_var, norm.weight, norm.bias):
                positive.uniform_(0.5, 1.5, generator=noise)
    return model


# Features


def test_feature_lengths_are_those_of_the_specification():
    assert [len(values) + 1 for values in CHOICES] == [8, 7, 6, 6, 101, 6]
    assert (ATOM_FEATURES, BOND_FEATURES) == (134, 6)


def test_every_atom_has_one_value_in_each_group():
    atoms = graphs_of(*odor.load("pocket")["smiles"]).atoms
    groups = torch.tensor_split(atoms, STARTS[1:], dim=1)
    assert [group.shape[1] for group in groups] == [8, 7, 6, 6, 101, 6]
    for group in groups:
        assert torch.equal(group.sum(dim=1), torch.ones(len(atoms), dtype=torch.float64))


@pytest.mark.parametrize(
    ("smiles", "places"),
    [
        # valence, degree, hydrogens, charge, element, hybridisation: place of the value in its group
        ("C", (4, 4, 4, 4, 5, 2)),
        ("[OH-]", (1, 1, 1, 0, 7, 2)),
        ("[Al+3]", (0, 0, 0, 5, 12, 5)),  # +3 and an s atom are the unknowns of their groups
    ],
    ids=["methane", "hydroxide", "aluminium"],
)
def test_places_of_known_atoms(smiles, places):
    found = graphs_of(smiles).atoms[0].nonzero().flatten().tolist()
    assert found == [start + place for start, place in zip(STARTS, places, strict=True)]


@pytest.mark.parametrize(
    ("smiles", "vectors"),
    [
        ("CC", [(0, 1, 0, 0, 0, 0)]),
        ("C=C", [(0, 0, 1, 0, 0, 0)]),
        ("C#C", [(0, 0, 0, 1, 0, 0)]),
        ("c1ccccc1", [(0, 0, 0, 0, 1, 1)]),
        ("C1CC=1C", [(0, 0, 1, 0, 0, 1), (0, 1, 0, 0, 0, 0), (0, 1, 0, 0, 0, 1)]),
    ],
    ids=["single", "double", "triple", "aromatic", "ring and tail"],
)
def test_bond_vectors(smiles, vectors):
    graphs = graphs_of(smiles)
    assert graphs.bond_vectors.tolist() == [list(vector) for vector in vectors]
    bonds = odor.molecules([smiles])[0].GetNumBonds()
    assert len(graphs.bonds) == 2 * bonds
    arrows = set(zip(graphs.source.tolist(), graphs.target.tolist(), strict=True))
    assert len(arrows) == 2 * bonds
    assert arrows == {(target, source) for source, target in arrows}


def test_stereo_marks_are_not_seen():
    left, right = graphs_of("CC1=CC[C@H](CC1=O)C(C)=C"), graphs_of("CC1=CC[C@@H](CC1=O)C(C)=C")
    assert all(torch.equal(value, vars(right)[name]) for name, value in vars(left).items())


@settings(deadline=None, max_examples=30)
@given(rows=st.lists(st.integers(0, len(SMILES) - 1), min_size=1, max_size=9))
def test_selected_molecules_are_graphs_of_their_own(rows):
    chosen = graphs_of(*SMILES).select(torch.tensor(rows))
    alone = graphs_of(*(SMILES[row] for row in rows))
    for name in ("atoms", "source", "target", "bonds", "molecule", "arrow_counts"):
        assert torch.equal(getattr(chosen, name), getattr(alone, name)), name


@pytest.mark.parametrize("molecules", [[], [None], [Chem.Mol()]], ids=["none", "unread", "no atoms"])
def test_what_is_no_molecule_is_refused(molecules):
    with pytest.raises(BookError, match="molecule"):
        molecule_graphs(molecules)


# The network


def test_parameters_are_counted_on_the_meta_device():
    with torch.device("meta"):
        parameters = sum(weight.numel() for weight in OdorMap(OdorMapConfig()).parameters())
    recurrent = 3 * (100 * 100 * 2 + 2 * 100) + 4 * (200 * 600 + 2 * 200) + 4 * (200 * 400 + 2 * 200)
    edges = (6 + 1) * 75 + (75 + 1) * 100**2 + 100
    ends = (134 + 1) * 100 + (6 + 1) * 100
    dense = 401 * 392 + 393 * 392 + 393 * 256 + 2 * (392 + 392 + 256) + 257 * 138
    assert parameters == recurrent + edges + ends + dense == 2_088_027


def test_weights_come_from_the_generator_alone():
    before = torch.get_rng_state()
    one, same, other = (OdorMap(SMALL, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(before, torch.get_rng_state())
    for (name, weight), again, differs in zip(
        one.named_parameters(), same.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(weight, again), name
        assert torch.equal(weight, differs) == (name.startswith("norms") or name == "message_bias"), name


@pytest.mark.parametrize("smiles", SMILES[:4])
def test_the_order_of_atoms_does_not_matter(model, smiles):
    molecule = odor.molecules([smiles])[0]
    generator = np.random.default_rng(0)
    for _ in range(5):
        order = generator.permutation(molecule.GetNumAtoms()).tolist()
        turned = double(molecule_graphs([Chem.RenumberAtoms(molecule, order)]))
        torch.testing.assert_close(model(graphs_of(smiles)), model(turned), rtol=1e-10, atol=1e-12)


def test_the_order_of_atoms_in_the_chain_does(model):
    _, embedding = model(graphs_of("CCCO", "CCOC"))
    assert (embedding[0] - embedding[1]).abs().max() > 1e-2


def test_a_molecule_does_not_see_the_others_of_its_batch(model):
    together = model(graphs_of(*SMILES))
    alone = [model(graphs_of(smiles)) for smiles in SMILES]
    for number, name in enumerate(("outputs", "embedding")):
        parts = torch.cat([pair[number] for pair in alone])
        torch.testing.assert_close(together[number], parts, rtol=1e-10, atol=1e-12, msg=name)


def test_the_embedding_is_taken_before_norm_and_activation(model):
    graphs = graphs_of(*SMILES)
    seen = []
    model.layers[-1].register_forward_hook(lambda module, inputs, output: seen.append(output))
    output, embedding = model(graphs)
    assert embedding.shape == (len(SMILES), SMALL.embedding)
    assert torch.equal(embedding, seen[0])
    assert (embedding < 0).any()
    assert torch.equal(output, model.label_out(torch.relu(model.norms[-1](embedding))))


def test_shared_edge_matrices_equal_one_matrix_per_bond(model):
    """Values and gradients, with all arrows in an order of their own."""
    graphs = graphs_of(*SMILES)
    assert len(graphs.bond_vectors) < len(graphs.bonds) / 4
    order = torch.argsort(graphs.kind, stable=True)
    sizes = torch.bincount(graphs.kind, minlength=len(graphs.bond_vectors)).tolist()
    results = []
    for shared in (True, False):
        state = torch.randn(len(graphs.atoms), SMALL.node_width, generator=torch.Generator().manual_seed(5)).double()
        state.requires_grad_()
        model.zero_grad()
        if shared:
            matrices = model.edge_matrices(graphs.bond_vectors)
            sums = messages(state, graphs.source[order], graphs.target[order], sizes, matrices)
        else:
            sums = messages_plain(state, graphs.source, graphs.target, model.edge_matrices(graphs.bonds))
        (sums**2).sum().backward()
        results.append([sums.detach(), state.grad, model.edge_out.weight.grad.clone(), model.edge_hidden.bias.grad])
    for name, fast, plain in zip(("sums", "d state", "d edge_out", "d edge_hidden"), *results, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-10, atol=1e-12, msg=name)
    wrong = messages(state, graphs.source, graphs.target, sizes, model.edge_matrices(graphs.bond_vectors))
    assert (wrong - sums).abs().max() > 1e-3, "arrows in the wrong order must show"


def test_atom_states_equal_the_loop_with_torchs_gru(model):
    graphs = graphs_of(SMILES[1])
    gru = torch.nn.GRU(SMALL.node_width, SMALL.node_width).double()
    gru.load_state_dict({f"{name}_l0": weight for name, weight in model.update.state_dict().items()})
    matrices = model.edge_matrices(graphs.bonds)
    state = torch.relu(model.atom_in(graphs.atoms))
    for _ in range(SMALL.message_steps):
        sums = messages_plain(state, graphs.source, graphs.target, matrices)
        state = gru(torch.relu(sums + state + model.message_bias)[None], state[None])[0][0]
    torch.testing.assert_close(model.atom_states(graphs), state, rtol=1e-10, atol=1e-12)


def test_the_readout_equals_a_loop_with_torchs_lstm(model):
    """One molecule: the radius-0 combination atom by atom, then set2set with the stacked LSTM."""
    graphs = graphs_of(SMILES[0])
    state = model.atom_states(graphs)
    width = SMALL.node_width + SMALL.bond_width
    x = torch.zeros(len(state), width, dtype=torch.float64)
    for source, target, bond in zip(graphs.source, graphs.target, graphs.bonds, strict=True):
        x[target] = x[target] + torch.cat([state[source], torch.relu(model.bond_in(bond))])
    lstm = torch.nn.LSTM(2 * width, width, num_layers=SMALL.readout_layers).double()
    cells = enumerate(model.readout.cells)
    lstm.load_state_dict({f"{name}_l{n}": weight for n, cell in cells for name, weight in cell.state_dict().items()})
    question, memory = torch.zeros(1, 1, 2 * width, dtype=torch.float64), None
    for _ in range(SMALL.readout_steps):
        asked, memory = lstm(question, memory)
        weights = torch.softmax(x @ asked[0, 0], dim=0)
        question = torch.cat([asked[0, 0], weights @ x])[None, None]
    torch.testing.assert_close(model.read_out(graphs, state), question[0], rtol=1e-10, atol=1e-12)


def test_softmax_within_molecules_survives_large_scores():
    molecule = torch.tensor([0, 0, 1, 1, 1])
    scores = torch.tensor([1000.0, 1001.0, -1000.0, 0.0, 0.0])
    expected = torch.cat([torch.softmax(scores[:2], 0), torch.softmax(scores[2:], 0)])
    torch.testing.assert_close(molecule_softmax(scores, molecule, 2), expected)


def test_molecules_without_bonds_are_one_point(model):
    """An atom is read out through its neighbours: water and helium have none."""
    _, embedding = model(graphs_of("O", "[He]", "CO"))
    assert torch.equal(embedding[0], embedding[1])
    assert (embedding[0] - embedding[2]).abs().max() > 1e-3


def test_dropout_asks_for_a_generator_and_follows_it():
    model, graphs = OdorMap(SMALL).double().train(), graphs_of(*SMILES)
    with pytest.raises(BookError, match="generator"):
        model(graphs)
    outputs = [model(graphs, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)]
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_dropout_keeps_the_mean():
    model = OdorMap(OdorMapConfig(dropout=0.3)).train()
    dropped = model.drop(torch.ones(200_000), torch.Generator().manual_seed(6)).numpy()
    assert np.unique(dropped).size == 2
    assert abs((dropped == 0).mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / 200_000)
    assert abs(dropped.mean() - 1) < 5 * np.sqrt(0.3 / 0.7 / 200_000)


@pytest.mark.parametrize(
    "wrong",
    [{"labels": 0}, {"node_width": 0}, {"message_steps": -1}, {"readout_steps": 0}, {"hidden": (4, 0)}, {"dropout": 1}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_configs_that_make_no_network_are_refused(wrong):
    with pytest.raises(BookError, match=next(iter(wrong))):
        OdorMapConfig(**wrong)


def test_foreign_features_are_refused(model):
    graphs = graphs_of("CC")
    with pytest.raises(BookError, match="133"):
        model(MoleculeGraphs(**{**vars(graphs), "atoms": graphs.atoms[:, 1:]}))
