"""Molecules as points: the representations of chapter 04 that need no training."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lib.errors import BookError

BITS = 2048

PHYSCHEM_FEATURES = (
    "molecular weight",
    "log P",
    "polar surface area",
    "hydrogen-bond donors",
    "hydrogen-bond acceptors",
    "rotatable bonds",
    "rings",
    "aromatic rings",
    "heavy atoms",
    "fraction of sp3 carbon",
)

BIT_NULLS = ("fixed_margin_swap", "bernoulli", "coordinate_permutation")
COUNT_NULLS = ("multinomial", "coordinate_permutation")
DENSE_NULLS = ("coordinate_permutation", "gaussian")


@dataclass(frozen=True)
class Representation:
    """A table of points with the distance and the null models that belong to it.

    name: short name, as in records and figures.
    matrix: [N, D], one row per molecule.
    metric: a name of lib.analysis.distances.DISTANCES.
    nulls: names of lib.analysis.nulls.NULLS; their order sets their seeds.
    """

    name: str
    matrix: np.ndarray
    metric: str
    nulls: tuple[str, ...]


def parse(smiles: Iterable[str]) -> list:
    """RDKit molecules of SMILES strings. Raises BookError that names the first string that is not a molecule."""
    from rdkit import Chem, rdBase

    found = []
    with rdBase.BlockLogs():
        for text in smiles:
            molecule = Chem.MolFromSmiles(text)
            if molecule is None:
                raise BookError(f"{text!r} is not a SMILES string that RDKit can read: correct or drop the row")
            found.append(molecule)
    if not found:
        raise BookError("no molecule was given: pass at least one SMILES string")
    return found


def morgan_bits(smiles: Iterable[str], radius: int, size: int = BITS) -> np.ndarray:
    """Morgan bit fingerprints (Morgan 1965; Rogers and Hahn 2010), stereochemistry ignored. Returns [N, size] bool."""
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=size)
    return np.stack([generator.GetFingerprintAsNumPy(molecule) for molecule in parse(smiles)]).astype(bool)


def morgan_counts(smiles: Iterable[str], radius: int, size: int = BITS) -> np.ndarray:
    """Hashed Morgan counts: how often each environment occurs. Returns [N, size] int64."""
    from rdkit.Chem import rdFingerprintGenerator

    generator = rdFingerprintGenerator.GetMorganGenerator(radius=radius, fpSize=size)
    return np.stack([generator.GetCountFingerprintAsNumPy(molecule) for molecule in parse(smiles)]).astype(np.int64)


def physchem(smiles: Iterable[str]) -> np.ndarray:
    """The ten descriptors named in PHYSCHEM_FEATURES, in their own units. Returns [N, 10] float64.

    "rings" is RDKit's symmetrised smallest set. It depends on the version where rings share many bonds: versions up to
    2025.09 stopped at 21 rings for a cyclodextrin that later ones give 135 (chapter 04, "Pushing further").
    """
    from rdkit.Chem import Descriptors, Lipinski, rdMolDescriptors

    measures = (
        Descriptors.MolWt,
        Descriptors.MolLogP,
        rdMolDescriptors.CalcTPSA,
        Lipinski.NumHDonors,
        Lipinski.NumHAcceptors,
        Lipinski.NumRotatableBonds,
        Lipinski.RingCount,
        Lipinski.NumAromaticRings,
        Lipinski.HeavyAtomCount,
        Lipinski.FractionCSP3,
    )
    return np.array([[measure(molecule) for measure in measures] for molecule in parse(smiles)], dtype=float)


def standardise(matrix: np.ndarray) -> np.ndarray:
    """Each column minus its mean, divided by its population standard deviation; a constant column becomes 0."""
    centred = matrix - matrix.mean(axis=0)
    spread = matrix.std(axis=0)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)


def dense(name: str, features: np.ndarray) -> Representation:
    """A table of measured features [N, D] as points: z-scored over all rows, Euclidean, dense null models."""
    return Representation(name, standardise(features), "euclidean", DENSE_NULLS)


REPRESENTATIONS = ("bit_r2", "bit_r4", "count_r4", "physchem")


def represent(name: str, smiles: Iterable[str]) -> Representation:
    """One of the four untrained representations, over all rows of a table (chapter 04, "Build it").

    name: "bit_r2", "bit_r4" (Morgan bits, Jaccard), "count_r4" (Morgan counts, generalised Tanimoto)
    or "physchem" (ten descriptors, z-scored over the whole table, Euclidean).
    Raises BookError for another name or for a SMILES string that cannot be read.
    """
    if name in ("bit_r2", "bit_r4"):
        return Representation(name, morgan_bits(smiles, radius=int(name[-1])), "jaccard", BIT_NULLS)
    if name == "count_r4":
        return Representation(name, morgan_counts(smiles, radius=4), "generalised_tanimoto", COUNT_NULLS)
    if name == "physchem":
        return dense(name, physchem(smiles))
    raise BookError(f"unknown representation {name!r}: choose one of {', '.join(REPRESENTATIONS)}")
