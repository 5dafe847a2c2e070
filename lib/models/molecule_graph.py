"""Molecules as graphs: 134 features an atom, 6 a bond, and many molecules laid side by side as one disjoint graph.

The features are those of OpenPOM (released code at 5434c4b). None of them sees stereo marks: two stereoisomers are one
graph.
Each bond is two arrows, one each way. A bond has few distinct feature vectors, so a graph stores the vectors once and a
number per arrow; the odor map computes its edge matrices once per vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lib.errors import BookError

VALENCES = (0, 1, 2, 3, 4, 5, 6)
DEGREES = (0, 1, 2, 3, 4, 5)
HYDROGENS = (0, 1, 2, 3, 4)
CHARGES = (-1, -2, 1, 2, 0)
ELEMENTS = tuple(range(1, 101))
HYBRIDISATIONS = ("SP", "SP2", "SP3", "SP3D", "SP3D2")
CHOICES = (VALENCES, DEGREES, HYDROGENS, CHARGES, ELEMENTS, HYBRIDISATIONS)
PLACES = tuple({value: place for place, value in enumerate(values)} for values in CHOICES)
STARTS = tuple(sum(len(values) + 1 for values in CHOICES[:number]) for number in range(len(CHOICES)))
ATOM_FEATURES = sum(len(values) + 1 for values in CHOICES)  # each with one more place for any other value
BOND_TYPES = ("SINGLE", "DOUBLE", "TRIPLE", "AROMATIC")
BOND_FEATURES = 6


@dataclass(frozen=True)
class MoleculeGraphs:
    """N molecules with A atoms and B arrows in all, as one disjoint graph. Used by chapter 04."""

    atoms: Tensor
    """Atom features, float32 [A, 134]."""
    source: Tensor
    """The atom that an arrow leaves, int64 [B]."""
    target: Tensor
    """The atom that an arrow enters, int64 [B]."""
    kind: Tensor
    """The row of `bond_vectors` that describes an arrow, int64 [B]."""
    bond_vectors: Tensor
    """The distinct bond features, float32 [K, 6]."""
    atom_counts: Tensor
    """Atoms of each molecule, int64 [N]; atoms stand in the order of their molecules."""
    arrow_counts: Tensor
    """Arrows of each molecule, int64 [N], in the same order."""

    def __len__(self) -> int:
        """How many molecules."""
        return len(self.atom_counts)

    @property
    def molecule(self) -> Tensor:
        """The molecule of each atom, int64 [A]."""
        return torch.repeat_interleave(torch.arange(len(self)), self.atom_counts)

    @property
    def bonds(self) -> Tensor:
        """Bond features per arrow, float32 [B, 6]: the long form of `kind` and `bond_vectors`."""
        return self.bond_vectors[self.kind]

    def select(self, rows: Tensor) -> MoleculeGraphs:
        """The molecules at some rows, in that order, as a graph of their own. rows: int64 [M], repeats allowed."""
        rows = torch.as_tensor(rows, dtype=torch.int64)
        atoms, atom_shift = ranges(self.atom_counts, rows)
        arrows, _ = ranges(self.arrow_counts, rows)
        shift = torch.repeat_interleave(atom_shift, self.arrow_counts[rows])
        return replace(
            self,
            atoms=self.atoms[atoms],
            source=self.source[arrows] - shift,
            target=self.target[arrows] - shift,
            kind=self.kind[arrows],
            atom_counts=self.atom_counts[rows],
            arrow_counts=self.arrow_counts[rows],
        )


def ranges(counts: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Where the items of some rows lie when row i has counts[i] items, and how far each row moves to its new place."""
    chosen = counts[rows]
    shift = (counts.cumsum(0) - counts)[rows] - (chosen.cumsum(0) - chosen)
    return torch.arange(int(chosen.sum())) + torch.repeat_interleave(shift, chosen), shift


def molecule_graphs(molecules: Sequence[Any]) -> MoleculeGraphs:
    """The graphs of some RDKit molecules, without added hydrogens.

    Raises BookError for no molecules, for one that is None or has no atoms. Chapter 04, a map of our own.
    """
    if not len(molecules):
        raise BookError("no molecules: an odor map needs at least one")
    atoms, source, target, vectors, atom_counts, arrow_counts = [], [], [], [], [], []
    for position, molecule in enumerate(molecules):
        if molecule is None or not molecule.GetNumAtoms():
            raise BookError(f"molecule {position} is {molecule!r}; give molecules that RDKit could read, with atoms")
        first = len(atoms)
        atoms.extend(atom_places(atom) for atom in molecule.GetAtoms())
        for bond in molecule.GetBonds():
            ends = first + bond.GetBeginAtomIdx(), first + bond.GetEndAtomIdx()
            source.extend(ends)
            target.extend(reversed(ends))
            vectors.extend([bond_features(bond)] * 2)
        atom_counts.append(molecule.GetNumAtoms())
        arrow_counts.append(2 * molecule.GetNumBonds())
    distinct = sorted(set(vectors))
    numbers = {vector: number for number, vector in enumerate(distinct)}
    features = torch.zeros(len(atoms), ATOM_FEATURES)
    features[torch.arange(len(atoms))[:, None], torch.tensor(atoms)] = 1.0
    return MoleculeGraphs(
        atoms=features,
        source=torch.tensor(source, dtype=torch.int64),
        target=torch.tensor(target, dtype=torch.int64),
        kind=torch.tensor([numbers[vector] for vector in vectors], dtype=torch.int64),
        bond_vectors=torch.tensor(distinct, dtype=torch.float32).reshape(-1, BOND_FEATURES),
        atom_counts=torch.tensor(atom_counts),
        arrow_counts=torch.tensor(arrow_counts),
    )


def atom_places(atom: Any) -> list[int]:
    """The six places of 134 at which an atom's features are one: valence, degree, hydrogens, charge, element, hybrid.

    Degree and hydrogens count implicit hydrogens. The last place of each group stands for any other value.
    """
    values = (
        atom.GetTotalValence(),
        atom.GetTotalDegree(),
        atom.GetTotalNumHs(),
        atom.GetFormalCharge(),
        atom.GetAtomicNum(),
        str(atom.GetHybridization()),
    )
    return [start + places.get(value, len(places)) for start, places, value in zip(STARTS, PLACES, values, strict=True)]


def bond_features(bond: Any) -> tuple[int, ...]:
    """The 6 features of a bond: no bond (never, here), single, double, triple, aromatic, in a ring."""
    kind = str(bond.GetBondType())
    return (0, *(int(kind == known) for known in BOND_TYPES), int(bond.IsInRing()))
