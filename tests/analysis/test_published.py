"""A published ratio recomputed on the public table: the whole path from SMILES to the printed digits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lib.analysis import audit, distance_matrix, exceedance_bounds, persistence, represent, summarise
from lib.datasets import odor
from lib.errors import BookError


@pytest.fixture(scope="module")
def curated():
    try:
        return odor.load("curated")
    except BookError as error:
        pytest.skip(f"the curated table is not at hand: {error}")


@pytest.mark.slow
def test_counts_on_the_curated_table_give_the_printed_ratios(curated):
    """Half a minute for 24 tables of 1,000 molecules; printed: 0.9264 with all points, 1.2333 with landmarks."""
    found = audit(represent("count_r4", curated["smiles"]), size=1000, runs=8, seed=0, landmarks=250)
    assert summarise(found.direct).ratio == pytest.approx(0.9264, abs=5e-5)
    assert summarise(found.landmark).ratio == pytest.approx(1.2333, abs=5e-5)


def test_the_two_public_tables_share_most_of_the_subset(curated):
    rest = odor.non_overlap(odor.load("broad"), curated, by="smiles")
    assert (len(rest), rest["key"].nunique()) == (1600, 1285)
    assert rest["key"].isin(set(curated["key"])).sum() == 1458


@pytest.fixture(scope="module")
def on_record():
    path = Path(__file__).parents[2] / "data" / "results" / "04.full.json"
    return {key: row["value"] for key, row in json.loads(path.read_text(encoding="utf-8"))["values"].items()}


@pytest.mark.parametrize("name", ["count_r4", "physchem"])
def test_the_full_run_on_record_is_recomputed_where_that_is_cheap(curated, on_record, name):
    """The molecules that the subset really adds, 142 of them: eight runs and their null tables in a second."""
    rest = odor.non_overlap(odor.load("broad"), curated, by="key").drop_duplicates("key")
    found = summarise(audit(represent(name, rest["smiles"]), size=1000, runs=8, seed=0).direct)
    assert found.ratio == pytest.approx(on_record["subset_new.ratio.direct"][name], rel=1e-5)


def test_what_the_full_run_says_of_the_threshold_and_of_the_toy_is_recomputed(on_record):
    assert on_record["threshold.false_alarm"] == pytest.approx(exceedance_bounds(8, 0.95), rel=1e-6)
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, 80)
    circle = np.column_stack([np.cos(angle), np.sin(angle)]) + 0.15 * rng.normal(size=(80, 2))
    lives = persistence(distance_matrix(circle, "euclidean"))
    assert on_record["toy.lives"] == pytest.approx(lives[:2], rel=1e-5)
