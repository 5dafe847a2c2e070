"""Odor tables: the pocket table of the book, the curated and the broad GoodScents-Leffingwell tables, the odor map.

Molecules are compared by a canonical key without stereo marks, because raw SMILES strings hide duplicates (chapter 04).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from lib.errors import BookError

from . import registry

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

POCKET = "data/bundled/odorants.csv"
FETCHED = {"curated": "gs_lf_curated", "broad": "gs_lf_broad", "pom": "pom_embeddings"}

# The words of the pocket table; nothing else may stand in its descriptors column.
VOCABULARY = (
    "aldehydic", "almond", "amber", "animal", "anise", "balsamic", "berry", "buttery", "camphoreous", "caramellic",
    "cheesy", "cinnamon", "citrus", "clove", "cocoa", "coconut", "coffee", "creamy", "earthy", "ethereal", "fatty",
    "fishy", "floral", "fruity", "garlic", "green", "hay", "herbal", "honey", "leathery", "marine", "meaty",
    "medicinal", "minty", "mushroom", "musk", "musty", "nutty", "onion", "phenolic", "pine", "popcorn", "powdery",
    "pungent", "roasted", "rose", "smoky", "sour", "spicy", "sulfurous", "sweaty", "sweet", "tropical", "vanilla",
    "vegetable", "waxy", "winey", "woody",
)  # fmt: skip


@contextmanager
def quiet() -> Iterator[None]:
    """Keep RDKit's messages off the screen inside this block only."""
    from rdkit import rdBase

    with rdBase.BlockLogs():
        yield


def molecules(smiles: Iterable[str]) -> list[Any]:
    """RDKit molecules of some SMILES, in their order.

    Raises BookError that names the first SMILES that RDKit cannot read and its position, counted from 0.
    """
    from rdkit import Chem

    found = []
    with quiet():
        for position, text in enumerate(smiles):
            molecule = Chem.MolFromSmiles(text) if isinstance(text, str) and text.strip() else None
            if molecule is None:
                raise BookError(
                    f"SMILES {text!r} at position {position} is no molecule: check its rings, valences and case"
                )
            found.append(molecule)
    return found


def canonical_key(smiles: str) -> str:
    """The canonical SMILES of a molecule without stereo marks: two spellings or stereoisomers share one key.

    Raises BookError, naming it, for a SMILES that RDKit cannot read. Chapter 04, data.
    """
    return canonical_keys([smiles])[0]


def canonical_keys(smiles: Iterable[str]) -> list[str]:
    """The canonical keys of many SMILES, in their order."""
    from rdkit import Chem

    return [Chem.MolToSmiles(molecule, isomericSmiles=False) for molecule in molecules(smiles)]


def load(which: Literal["pocket", "curated", "broad", "pom"]) -> pd.DataFrame:
    """One odor table.

    All have the columns `smiles` (as the file writes it) and `key` (`canonical_key` of it).
    "pocket" (511 rows) adds `name`, `formula` and `descriptors` (a tuple of words of VOCABULARY); "curated" (4,983,
    138 labels) and "broad" (5,862, 152 labels) add `descriptors`. The vocabulary is the tuple `attrs["labels"]`.
    "pom" (2,110 rows) adds the 256 columns `POM_dim0` to `POM_dim255`, the embedding of Qian et al. 2022; several rows
    can share a key, because the embedding has one row per spelling.

    Raises BookError for an unknown name, and as `registry.fetch` does for a table that is not on this machine.
    """
    import pandas as pd

    if which == "pocket":
        table = pd.read_csv(registry.bundled(POCKET), dtype=str, keep_default_na=False)
        table["descriptors"] = [tuple(cell.split(";")) for cell in table["descriptors"]]
        labels: Sequence[str] = VOCABULARY
    elif which in FETCHED:
        table = pd.read_csv(registry.fetch(FETCHED[which])).rename(columns={"nonStereoSMILES": "smiles"})
        if which == "pom":
            keys = pd.DataFrame({"smiles": table["smiles"], "key": canonical_keys(table["smiles"])})
            return pd.concat([keys, table.drop(columns="smiles")], axis=1)
        labels = tuple(column for column in table.columns if column not in {"smiles", "descriptors"})
        marks = table.loc[:, list(labels)].to_numpy() == 1
        words = [tuple(label for label, marked in zip(labels, row, strict=True) if marked) for row in marks]
        table = table[["smiles"]].assign(descriptors=words)
    else:
        raise BookError(f"no odor table {which!r}: choose one of pocket, {', '.join(FETCHED)}")
    table.insert(table.columns.get_loc("smiles") + 1, "key", canonical_keys(table["smiles"]))
    table.attrs["labels"] = tuple(labels)
    return table


def label_matrix(table: pd.DataFrame) -> np.ndarray:
    """The labels of a table as a matrix, bool [n, labels], columns in the order of `table.attrs["labels"]`."""
    import numpy as np

    columns = {label: column for column, label in enumerate(table.attrs["labels"])}
    matrix = np.zeros((len(table), len(columns)), dtype=bool)
    for row, words in enumerate(table["descriptors"]):
        matrix[row, [columns[word] for word in words]] = True
    return matrix


def non_overlap(broad: pd.DataFrame, curated: pd.DataFrame, by: Literal["smiles", "key"] = "key") -> pd.DataFrame:
    """The rows of `broad` whose molecule is not in `curated`, in their order.

    by="smiles" compares raw strings, as the post did: 1,600 rows, most of them stereoisomers of curated molecules.
    by="key" compares canonical non-stereo keys: 142 rows. Chapter 04, data. Raises BookError for any other `by`.
    """
    if by not in {"smiles", "key"}:
        raise BookError(f"cannot compare odor tables by {by!r}: choose smiles or key")
    return broad.loc[~broad[by].isin(set(curated[by]))].copy()


# Words of the pocket table and the labels of the reference tables that are the same word, differently spelled.
SYNONYMS: Mapping[str, frozenset[str]] = {
    "anise": frozenset({"anise", "anisic"}),
    "garlic": frozenset({"garlic", "alliaceous"}),
    "minty": frozenset({"minty", "mint"}),
    "onion": frozenset({"onion", "alliaceous"}),
    "sour": frozenset({"sour", "acidic"}),
}


def agreement(
    pocket: pd.DataFrame, reference: pd.DataFrame, synonyms: Mapping[str, frozenset[str]] = SYNONYMS
) -> dict[str, float]:
    """How far the pocket table agrees with a reference table.

    Returns counts and shares: `rows`; `found`, the rows whose key is in the reference; `common`, the found rows that
    share at least one descriptor with the reference, through `synonyms`; `found_share` of the rows and `common_share`
    of the found rows; and `chance_share`, the common share when every found row is compared with the reference of every
    found row instead of its own. Chapter 04, data.
    """
    known: dict[str, set[str]] = {}
    for key, words in zip(reference["key"], reference["descriptors"], strict=True):
        known.setdefault(key, set()).update(words)
    ours = [
        (key, {label for word in words for label in synonyms.get(word, {word})})
        for key, words in zip(pocket["key"], pocket["descriptors"], strict=True)
        if key in known
    ]
    found = len(ours)
    common = sum(bool(words & known[key]) for key, words in ours)
    pairs = sum(bool(words & known[other]) for _, words in ours for other, _ in ours)
    return {
        "rows": len(pocket),
        "found": found,
        "found_share": found / len(pocket) if len(pocket) else 0.0,
        "common": common,
        "common_share": common / found if found else 0.0,
        "chance_share": pairs / found**2 if found else 0.0,
    }
