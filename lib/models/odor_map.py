"""An odor map: a message-passing network from molecules to odor labels, whose last hidden layer is the map.

It is the network of OpenPOM (released code at 5434c4b), after Lee et al. 2023 and Gilmer et al. 2017, in
plain torch: edge matrices pass messages between atoms, a recurrent cell takes them in, set2set reads a molecule out,
and a feed-forward network ends in 256 numbers, the embedding, before the labels. As in that code, an atom is read out
through its neighbours alone, so that all molecules without bonds are one point of the map.

What is faster than the textbook form: an edge matrix (100 x 100) is computed once per distinct bond vector, of which
there are about six, and not once per bond; `messages` and `messages_plain` are the two forms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.errors import BookError
from lib.models.layers import Linear, fill_uniform
from lib.models.molecule_graph import ATOM_FEATURES, BOND_FEATURES, MoleculeGraphs


@dataclass(frozen=True)
class OdorMapConfig:
    """The shape of an odor map; the defaults are OpenPOM's. Raises BookError for sizes that make no network."""

    labels: int = 138
    """Odor labels that the network predicts."""
    node_width: int = 100
    """Size of an atom's state."""
    edge_hidden: int = 75
    """Hidden size of the network from a bond vector to its edge matrix."""
    bond_width: int = 100
    """Size of a bond's own part in the readout."""
    message_steps: int = 5
    """Rounds of message passing."""
    readout_steps: int = 3
    """Rounds of set2set."""
    readout_layers: int = 2
    """LSTM layers of set2set."""
    hidden: tuple[int, ...] = (392, 392)
    """Sizes of the feed-forward network before the embedding."""
    embedding: int = 256
    """Size of the map."""
    dropout: float = 0.12
    """Share of each hidden layer that is dropped in training."""

    def __post_init__(self) -> None:
        sizes = ("labels", "node_width", "edge_hidden", "bond_width", "readout_steps", "readout_layers", "embedding")
        for name in sizes:
            if getattr(self, name) < 1:
                raise BookError(f"{name}={getattr(self, name)}; it must be at least 1")
        if self.message_steps < 0:
            raise BookError(f"message_steps={self.message_steps}; use 0 for no messages")
        if any(width < 1 for width in self.hidden):
            raise BookError(f"hidden={self.hidden}; every size must be at least 1")
        if not 0 <= self.dropout < 1:
            raise BookError(f"dropout={self.dropout}; it is a share in [0, 1)")


class GRUCell(nn.GRUCell):
    """A GRU cell whose weights wait for `initialise`."""

    def reset_parameters(self) -> None:
        """Leave the weights alone: torch would draw them from its global generator here."""


class LSTMCell(nn.LSTMCell):
    """An LSTM cell whose weights wait for `initialise`."""

    def reset_parameters(self) -> None:
        """Leave the weights alone: torch would draw them from its global generator here."""


class Set2Set(nn.Module):
    """Attention over the atoms of a molecule, asked again and again by an LSTM (Vinyals et al. 2016, section 4).

    q = LSTM(q*), a = softmax over the molecule's atoms of <x, q>, q* = [q, sum a x]; q* starts at zero.
    """

    def __init__(self, width: int, steps: int, layers: int) -> None:
        super().__init__()
        self.width = width
        self.steps = steps
        self.cells = nn.ModuleList(LSTMCell(width if layer else 2 * width, width) for layer in range(layers))

    def forward(self, x: Tensor, molecule: Tensor, count: int) -> Tensor:
        """x [A, width], molecule [A] -> [count, 2 width]."""
        question = x.new_zeros(count, 2 * self.width)
        states = [(x.new_zeros(count, self.width),) * 2 for _ in self.cells]
        for _ in range(self.steps):
            value = question
            for number, cell in enumerate(self.cells):
                states[number] = cell(value, states[number])
                value = states[number][0]
            weights = molecule_softmax((x * value[molecule]).sum(dim=1), molecule, count)
            question = torch.cat([value, total(weights[:, None] * x, molecule, count)], dim=1)
        return question


class OdorMap(nn.Module):
    """The network of an OdorMapConfig: 2,088,027 parameters with the defaults.

    generator: draws the initial weights; None stands for a new one with seed 0. Every weight starts uniform within
    1 / sqrt(fan in), those of recurrent cells within 1 / sqrt(width), the framework's defaults; the message bias at 0.
    """

    def __init__(self, config: OdorMapConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        node, bond = config.node_width, config.bond_width
        self.atom_in = Linear(ATOM_FEATURES, node)
        self.edge_hidden = Linear(BOND_FEATURES, config.edge_hidden)
        self.edge_out = Linear(config.edge_hidden, node * node)
        self.message_bias = nn.Parameter(torch.zeros(node))
        self.update = GRUCell(node, node)
        self.bond_in = Linear(BOND_FEATURES, bond)
        self.readout = Set2Set(node + bond, config.readout_steps, config.readout_layers)
        widths = (2 * (node + bond), *config.hidden, config.embedding)
        self.layers = nn.ModuleList(Linear(before, after) for before, after in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths[1:])
        self.label_out = Linear(config.embedding, config.labels)
        self.initialise(generator or torch.Generator().manual_seed(0))

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights, in the order of the modules."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.initialise(generator)
            elif isinstance(module, GRUCell | LSTMCell):
                for weight in module.parameters():
                    fill_uniform(weight, 1 / math.sqrt(module.hidden_size), generator)

    def forward(self, graphs: MoleculeGraphs, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """The outputs [N, labels], and the embedding [N, 256] before normalisation and activation.

        generator: draws what is dropped in training; without dropout it is not needed.
        Raises BookError in training with dropout and no generator, and for graphs with other features.
        """
        if self.training and self.config.dropout and generator is None:
            raise BookError(f"dropout={self.config.dropout} in training without a generator; pass one, or call eval()")
        x = self.read_out(graphs, self.atom_states(graphs))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            embedding = layer(x)
            x = self.drop(F.relu(norm(embedding)), generator)
        return self.label_out(x), embedding

    def edge_matrices(self, vectors: Tensor) -> Tensor:
        """The matrices that bond vectors [K, 6] stand for, [K, node, node]; a message is state @ matrix."""
        node = self.config.node_width
        return self.edge_out(F.relu(self.edge_hidden(vectors))).view(-1, node, node)

    def atom_states(self, graphs: MoleculeGraphs) -> Tensor:
        """States of the atoms after message passing, [A, node].

        Each round: m = relu(h + sum of messages + bias), then h = GRU(m, h).
        """
        if graphs.atoms.shape[1] != ATOM_FEATURES:
            raise BookError(f"atoms have {graphs.atoms.shape[1]} features, not {ATOM_FEATURES}; use molecule_graphs")
        state = F.relu(self.atom_in(graphs.atoms))
        matrices = self.edge_matrices(graphs.bond_vectors)
        order = torch.argsort(graphs.kind, stable=True)
        source, target = graphs.source[order], graphs.target[order]
        sizes = torch.bincount(graphs.kind, minlength=len(graphs.bond_vectors)).tolist()
        for _ in range(self.config.message_steps):
            received = messages(state, source, target, sizes, matrices)
            state = self.update(F.relu(state + received + self.message_bias), state)
        return state

    def read_out(self, graphs: MoleculeGraphs, state: Tensor) -> Tensor:
        """One vector per molecule, [N, 2 (node + bond)], from the states of its atoms, [A, node].

        An atom is the sum over its bonds of [state of the neighbour, relu(linear(bond))]: OpenPOM's radius 0.
        """
        atoms = len(state)
        bonds = F.relu(self.bond_in(graphs.bond_vectors))[graphs.kind]
        folded = [total(state[graphs.source], graphs.target, atoms), total(bonds, graphs.target, atoms)]
        return self.readout(torch.cat(folded, dim=1), graphs.molecule, len(graphs))

    def drop(self, x: Tensor, generator: torch.Generator | None) -> Tensor:
        """Dropout whose mask comes from the generator."""
        if not (self.training and self.config.dropout):
            return x
        kept = 1 - self.config.dropout
        return x * torch.empty_like(x).bernoulli_(kept, generator=generator).div_(kept)


def messages(state: Tensor, source: Tensor, target: Tensor, sizes: list[int], matrices: Tensor) -> Tensor:
    """The sum of messages that each atom receives, [A, node], with arrows sorted by kind.

    state [A, node]; source, target [B]; sizes: arrows of each kind, in order; matrices [K, node, node].
    """
    groups = state[source].split(sizes)
    sent = [group @ matrix for group, matrix in zip(groups, matrices, strict=True)]
    return total(torch.cat(sent), target, len(state)) if sent else torch.zeros_like(state)


def messages_plain(state: Tensor, source: Tensor, target: Tensor, matrices: Tensor) -> Tensor:
    """The textbook form of `messages`: one matrix per arrow, [B, node, node], and a loop."""
    received = [torch.zeros_like(row) for row in state]
    for arrow in range(len(source)):
        received[target[arrow]] = received[target[arrow]] + state[source[arrow]] @ matrices[arrow]
    return torch.stack(received)


def total(values: Tensor, place: Tensor, places: int) -> Tensor:
    """Sums of the rows of values [B, D] that share a place [B], as [places, D]."""
    return values.new_zeros(places, values.shape[1]).index_add(0, place, values)


def molecule_softmax(scores: Tensor, molecule: Tensor, count: int) -> Tensor:
    """Softmax of scores [A] within each molecule."""
    top = scores.detach().new_zeros(count).scatter_reduce(0, molecule, scores.detach(), "amax", include_self=False)
    weights = (scores - top[molecule]).exp()
    return weights / weights.new_zeros(count).index_add(0, molecule, weights)[molecule]
