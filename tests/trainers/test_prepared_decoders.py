"""The prepared decoders of chapter 01: they can be remade, and those that ship are the ones that provenance names."""

import hashlib
import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest

from lib.analysis import tag_evaluation as te
from lib.datasets import registry, tag_lessons, taxonomy
from lib.models import answers, tag_decoder
from lib.rewards import Bands, score
from lib.trainers.preferences import POCKET, grpo

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


@pytest.mark.slow
def test_one_band_turns_the_confusion_of_unknown_equipment():
    """What a reader does in the parameters cell: charge for refusals, and they go."""
    table, rows = taxonomy.taxonomy(), {}
    imitator, words = tag_decoder.load(PREPARED / "01.sft.safetensors")
    lessons = [item for item in tag_lessons.practice(table, 400, np.random.default_rng(5)) if item.kind == "unknown"]
    leash = replace(POCKET, steps=16, prompts=12, max_new_tokens=14)
    for bands in (Bands(), Bands(unknown_right=-1.0)):

        def reward(number, text, bands=bands):
            return score(lessons[number], text, table.names, bands).total

        model = grpo(imitator, words, [item.prompt for item in lessons], reward, leash).model
        said = answers(model, words, [item.prompt for item in lessons], max_new_tokens=14)
        marks = [score(item, text, table.names) for item, text in zip(lessons, said, strict=True)]
        graded = [te.Graded("unknown", "", mark.right, mark.outcome) for mark in marks]
        rows[bands.unknown_right] = te.confusion(graded, ["unknown"])[0][te.ACTS.index("refused")] / len(lessons)
    assert rows[1.0] > 0.6
    assert rows[-1.0] < rows[1.0] - 0.1
