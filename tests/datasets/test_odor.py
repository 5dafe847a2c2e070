"""The odor tables: every row of the pocket table is checked, and the public tables give the counts that are known."""

import os
import re
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from rdkit import Chem
from rdkit.Chem import rdCIPLabeler
from rdkit.Chem.rdMolDescriptors import CalcMolFormula

from lib.datasets import odor, registry
from lib.errors import BookError

needs_mirror = pytest.mark.skipif(
    not os.environ.get(registry.MIRROR),
    reason="BOOK_DATA_MIRROR is not set: the GoodScents-Leffingwell tables are not at hand",
)

# At least this many rows of the pocket table match each pattern: chemical space is covered, not one corner of it.
FAMILIES = {
    "aliphatic aldehyde": ("[CX3H1](=O)[#6;!c]", 20),
    "carboxylic acid": ("[CX3](=O)[OX2H1]", 15),
    "ester": ("[CX3](=O)[OX2;!r][#6]", 80),
    "lactone": ("[CX3;r](=O)[OX2;r]", 20),
    "ketone": ("[#6][CX3](=O)[#6]", 50),
    "alcohol": ("[CX4][OX2H1]", 50),
    "phenol": ("c[OX2H1]", 20),
    "phenol ether": ("c[OX2][CX4]", 20),
    "pyrazine": ("c1cnccn1", 10),
    "furan": ("c1ccco1", 10),
    "thiol": ("[SX2H1]", 10),
    "sulfide or disulfide": ("[#6][SX2][#6,SX2]", 15),
    "amine": ("[NX3;!$(N=*);!$(N-[#6,#7]=[O,N]);!$(N(=O)~O)]", 8),
    "nitrile": ("C#N", 4),
    "macrocycle": ("[r{15-17}]", 6),
    "ionone": ("CC(=O)C=,-CC1~C(C)~CCCC1(C)C", 3),
    "damascone": ("CC=CC(=O)C1~C(C)~C~CCC1(C)C", 4),
    "bridged bicycle": ("[R2]1[R][R][R2][R][R]1", 10),
    "benzene ring": ("c1ccccc1", 120),
    "no ring": ("", 120),
}


@pytest.fixture(scope="module")
def pocket() -> pd.DataFrame:
    return odor.load("pocket")


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return {which: odor.load(which) for which in ("curated", "broad")}


def wrong_formulas(table: pd.DataFrame) -> list[str]:
    """Names of the rows whose formula is not the one that RDKit computes from the structure."""
    pairs = zip(table["name"], table["formula"], odor.molecules(table["smiles"]), strict=True)
    return [name for name, formula, molecule in pairs if CalcMolFormula(molecule) != formula]


def stereo_labels(molecule: Chem.Mol) -> list[str]:
    """The stereo labels (R, S, E, Z) that RDKit assigns, sorted."""
    rdCIPLabeler.AssignCIPLabels(molecule)
    parts = (*molecule.GetAtoms(), *molecule.GetBonds())
    return sorted(part.GetProp("_CIPCode") for part in parts if part.HasProp("_CIPCode"))


def test_pocket_has_rows_enough_and_each_name_once(pocket):
    assert len(pocket) >= 320
    assert pocket["name"].is_unique
    assert list(pocket.columns) == ["name", "smiles", "key", "formula", "descriptors"]


def test_every_formula_is_that_of_its_structure(pocket):
    assert wrong_formulas(pocket) == []


def test_a_wrong_formula_is_found(pocket):
    spoiled = pocket.copy()
    spoiled.loc[3, "formula"] = "C99H2"
    assert wrong_formulas(spoiled) == [pocket["name"][3]]


def test_stereo_labels_in_names_are_those_of_the_structures(pocket):
    for name, molecule in zip(pocket["name"], odor.molecules(pocket["smiles"]), strict=True):
        told = re.match(r"\(([0-9A-Z,]+)\)-", name)
        assert stereo_labels(molecule) == sorted(re.findall("[RSEZ]", told[1]) if told else []), name


def test_no_molecule_stands_twice(pocket):
    assert pocket["key"].is_unique


def test_descriptors_are_words_of_the_vocabulary_and_all_are_used(pocket):
    for name, words in zip(pocket["name"], pocket["descriptors"], strict=True):
        assert 2 <= len(words) <= 6, name
        assert list(words) == sorted(set(words)), name
        assert set(words) <= set(odor.VOCABULARY), name
    counts = Counter(word for words in pocket["descriptors"] for word in words)
    assert set(counts) == set(odor.VOCABULARY)
    assert min(counts.values()) >= 3


def test_the_readme_shows_this_vocabulary_and_count(pocket):
    text = registry.bundled("data/bundled/README.md").read_text(encoding="utf-8")
    shown = re.search(r"\*\*Vocabulary\*\* \((\d+) words\): ([^.]+)\.", text)
    assert shown[2].replace("\n", " ").split(", ") == list(odor.VOCABULARY)
    assert int(shown[1]) == len(odor.VOCABULARY)
    assert f"{len(pocket)} well-known odorants" in text


@pytest.mark.parametrize("family", FAMILIES)
def test_families(pocket, family):
    pattern, least = FAMILIES[family]
    molecules = odor.molecules(pocket["smiles"])
    if family == "no ring":
        found = sum(molecule.GetRingInfo().NumRings() == 0 for molecule in molecules)
    else:
        query = Chem.MolFromSmarts(pattern)
        found = sum(molecule.HasSubstructMatch(query) for molecule in molecules)
    assert found >= least


def test_key_forgets_stereo_and_spelling():
    assert odor.canonical_key("C/C=C/C=O") == odor.canonical_key("O=CC=CC") == odor.canonical_key(r"C/C=C\C=O")
    assert odor.canonical_key("CCO") != odor.canonical_key("CCOC")


@pytest.mark.parametrize("wrong", ["C1CC", "c1cccc1", "C(C)(C)(C)(C)C", "not a molecule", "", None], ids=repr)
def test_an_invalid_smiles_is_named_and_rdkit_stays_silent(wrong, capfd):
    with pytest.raises(BookError, match=re.escape(f"SMILES {wrong!r} at position 1")):
        odor.molecules(["CCO", wrong])
    assert capfd.readouterr() == ("", "")


def test_rdkit_speaks_again_outside(capfd):
    with pytest.raises(BookError):
        odor.canonical_key("C1CC")
    capfd.readouterr()
    assert Chem.MolFromSmiles("C1CC") is None
    assert "C1CC" in capfd.readouterr().err


def test_label_matrix_says_what_the_descriptors_say(pocket):
    matrix = odor.label_matrix(pocket)
    assert matrix.shape == (len(pocket), len(odor.VOCABULARY))
    for words, marks in zip(pocket["descriptors"], matrix, strict=True):
        assert words == tuple(np.array(odor.VOCABULARY)[marks])


def test_unknown_table_and_unknown_comparison_are_refused(pocket):
    with pytest.raises(BookError, match="no odor table 'large': choose one of pocket, curated"):
        odor.load("large")
    with pytest.raises(BookError, match="cannot compare odor tables by 'name'"):
        odor.non_overlap(pocket, pocket, by="name")


def small(**rows: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame({"key": list(rows), "descriptors": list(rows.values())})


def test_agreement_counts():
    ours = small(C=("minty", "sweet"), CC=("fishy",), CCC=("rose",), CCCC=("green",))
    theirs = small(C=("mint",), CC=("fishy", "amine"), CCC=("musk",))
    told = odor.agreement(ours, theirs)
    assert (told["rows"], told["found"], told["common"]) == (4, 3, 2)
    assert (told["found_share"], told["common_share"]) == (0.75, 2 / 3)
    assert told["chance_share"] == 2 / 9
    assert odor.agreement(ours, theirs, synonyms={})["common"] == 1
    assert odor.agreement(ours, small(N=("fishy",)))["common_share"] == 0.0


@needs_mirror
def test_public_tables_have_their_known_sizes(tables):
    curated, broad = tables["curated"], tables["broad"]
    assert (len(curated), len(curated.attrs["labels"])) == (4983, 138)
    assert (len(broad), len(broad.attrs["labels"])) == (5862, 152)
    counts = odor.label_matrix(curated).sum(axis=1)
    assert (counts.min(), counts.max()) == (1, 21)
    assert counts.mean() == pytest.approx(4.879, abs=5e-4)
    per_label = Counter(word for words in curated["descriptors"] for word in words)
    assert per_label.most_common(3) == [("fruity", 1902), ("green", 1446), ("sweet", 1429)]


@needs_mirror
def test_most_of_the_1600_are_stereoisomers_of_curated_molecules(tables):
    curated, broad = tables["curated"], tables["broad"]
    rest = odor.non_overlap(broad, curated, by="smiles")
    clean = odor.non_overlap(broad, curated, by="key")
    assert (len(broad) - len(rest), len(rest)) == (4262, 1600)
    assert rest["smiles"].str.contains(r"[@/\\]").sum() == 1481
    assert rest["key"].isin(set(curated["key"])).sum() == 1458
    assert rest["key"].nunique() == 1285
    assert len(clean) == 142
    assert set(clean.index) <= set(rest.index)
    assert curated["key"].is_unique


@needs_mirror
def test_pom_embedding():
    pom = odor.load("pom")
    values = pom.filter(like="POM_dim").to_numpy()
    assert values.shape == (2110, 256)
    assert np.isfinite(values).all()
    assert (values.min(), pom["key"].nunique()) == (0.0, 1880)


@needs_mirror
@pytest.mark.parametrize("which", ["curated", "broad"])
def test_pocket_agrees_with_the_public_tables(pocket, tables, which):
    told = odor.agreement(pocket, tables[which])
    print(f"{which}: found {told['found']} of {told['rows']}, common {told['common']} of {told['found']}")
    assert told["found_share"] >= 0.95
    assert told["common_share"] >= 0.97
    assert told["chance_share"] <= 0.60, "the share would be as high for any descriptors"


@needs_mirror
def test_agreement_falls_when_descriptors_are_shuffled(pocket, tables):
    shuffled = pocket.copy()
    order = np.random.default_rng(0).permutation(len(pocket))
    shuffled["descriptors"] = [pocket["descriptors"][row] for row in order]
    assert odor.agreement(shuffled, tables["curated"])["common_share"] < 0.60
