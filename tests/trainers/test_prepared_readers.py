"""The prepared readers of chapter 02: they can be remade, and those that ship are the ones that provenance names."""

import hashlib
import importlib.util
import json

import numpy as np

from lib.datasets import composed_signing as cs
from lib.datasets import registry
from lib.trainers import reading_arms

PREPARED = registry.root() / "data" / "prepared"


def test_the_recipe_makes_every_reader(tmp_path):
    spec = importlib.util.spec_from_file_location("prepare_02", registry.root() / "chapters" / "prepare" / "02.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    recipe.prepare(tmp_path, "smoke")
    assert [file.name for file in tmp_path.iterdir()] == ["02.arms.safetensors"]
    assert set(reading_arms.load(tmp_path / "02.arms.safetensors")) == set(recipe.ARMS)


def test_what_ships_is_what_was_made():
    sums = json.loads((PREPARED / "02.provenance.json").read_text(encoding="utf-8"))["files"]
    assert hashlib.sha256((PREPARED / "02.arms.safetensors").read_bytes()).hexdigest() == sums["02.arms.safetensors"]


def test_prepared_readers_read_and_all_but_one_stop():
    phrases = cs.trials(cs.takes().train, [3], 20, 5)
    readers = reading_arms.load(PREPARED / "02.arms.safetensors")
    found = {name: reading_arms.read(readers[name], [p.inputs for p in phrases]) for name in ("gru", "no_pads")}
    assert np.mean([row == p.tokens for row, p in zip(found["gru"].tokens, phrases, strict=True)]) > 0.5
    assert np.mean(found["gru"].stopped) > 0.9
    assert np.mean(found["no_pads"].stopped) < 0.1
