"""The prepared decoders of chapter 01: they can be remade, and those that ship are the ones that provenance names."""

import hashlib
import importlib.util
import json

import pytest

from lib.datasets import registry
from lib.models import answers, tag_decoder

PREPARED = registry.root() / "data" / "prepared"


def test_the_recipe_makes_both_decoders(tmp_path):
    path = registry.root() / "chapters" / "prepare" / "01.py"
    spec = importlib.util.spec_from_file_location("prepare_01", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    recipe.prepare(tmp_path, "smoke")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["01.base.safetensors", "01.sft.safetensors"]
    base, words = tag_decoder.load(tmp_path / "01.base.safetensors")
    assert tag_decoder.config_of(base) == tag_decoder.TagDecoderConfig()
    assert len(words) > 500


@pytest.mark.parametrize("name", ["01.base.safetensors", "01.sft.safetensors"])
def test_what_ships_is_what_was_made(name):
    sums = json.loads((PREPARED / "01.provenance.json").read_text(encoding="utf-8"))["files"]
    assert hashlib.sha256((PREPARED / name).read_bytes()).hexdigest() == sums[name]


def test_the_imitating_decoder_answers_with_a_tag_and_the_other_with_a_name():
    asked = ["what is the tag for supply air static pressure setpoint ?\n"]
    base, words = tag_decoder.load(PREPARED / "01.base.safetensors")
    imitator, _ = tag_decoder.load(PREPARED / "01.sft.safetensors")
    assert answers(imitator, words, asked) == ["SPS"]
    assert "Pressure" in answers(base, words, asked)[0]
