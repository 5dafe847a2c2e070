"""The prepared ladder of chapter 05: it can be remade, and what ships is what provenance names."""

from __future__ import annotations

import hashlib
import importlib.util
import json

import pytest
import torch

from lib.datasets import pocket_text, registry
from lib.models import neox_ladder
from lib.trainers.ladder import next_token_loss

PREPARED = registry.root() / "data" / "prepared"
NAMES = ["05.rung-128-0", "05.rung-64-0", "05.rung-64-1", "05.text"]


@pytest.mark.slow
def test_the_recipe_makes_its_files(tmp_path, monkeypatch):
    path = registry.root() / "chapters" / "prepare" / "05.py"
    spec = importlib.util.spec_from_file_location("prepare_05", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    monkeypatch.setattr(recipe.registry, "root", lambda: tmp_path / "elsewhere")
    folder = tmp_path / "made"
    folder.mkdir()
    recipe.prepare(folder, "smoke")
    made = sorted(file.name for file in folder.iterdir())
    assert made == sorted([*(f"{name}.safetensors" for name in NAMES), "05.tokenizer.json"])
    found = pocket_text.load(folder / "05.text.safetensors", folder / "05.tokenizer.json")
    assert found.autoencoders.shape == (4, 128)
    assert found.held_out.shape == (8, 128)
    assert neox_ladder.load(folder / "05.rung-64-1.safetensors").config.hidden_size == 64


@pytest.mark.parametrize("name", [*(f"{name}.safetensors" for name in NAMES), "05.tokenizer.json"])
def test_what_ships_is_what_was_made(name):
    sums = json.loads((PREPARED / "05.provenance.json").read_text(encoding="utf-8"))["files"]
    assert hashlib.sha256((PREPARED / name).read_bytes()).hexdigest() == sums[name]


@torch.no_grad()
def test_the_rungs_have_learnt_and_the_wider_one_more():
    found = pocket_text.load(PREPARED / "05.text.safetensors", PREPARED / "05.tokenizer.json")
    rows = torch.from_numpy(found.held_out[:16]).long()
    losses = {}
    for name in ("64-0", "64-1", "128-0"):
        model = neox_ladder.load(PREPARED / f"05.rung-{name}.safetensors")
        losses[name] = float(next_token_loss(model(rows).logits, rows))
    assert losses["128-0"] < min(losses["64-0"], losses["64-1"]) < 5.5  # a uniform guess has 6.9
