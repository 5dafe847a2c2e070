"""Training on recall: that it learns what can be learned, repeats itself, and that the arms are what they say."""

from __future__ import annotations

import math

import pytest
import torch

from lib.analysis import recall_probe
from lib.datasets.recall import RecallTask
from lib.errors import BookError
from lib.models.cached_memory import parameters
from lib.trainers import memory_arms
from lib.trainers.memory_arms import ARMS, BASE, TRAINING, arm, model_of, run_arm
from lib.trainers.recall import RecallTraining, recall_accuracy

TASK = RecallTask(pairs=6, queries=3, keys=8, values=4)
TEST = TASK.draw(64, torch.Generator().manual_seed(1))


def small(name: str, updates: int, **options: object):
    return run_arm(name, TASK, 0, updates=updates, **options)


def test_an_easy_task_is_learned_with_the_oracle_and_hardly_by_lot():
    known, _ = small("oracle", 150)
    lot, _ = small("random_selection", 150)
    by_lot = recall_accuracy(lot, TEST, TEST.random(BASE.segment, torch.Generator().manual_seed(2)))
    assert recall_accuracy(known, TEST, TEST.oracle(BASE.segment)) > by_lot + 0.2


def test_a_run_repeats_itself_and_another_seed_does_not():
    one, two = small("base", 5)[1], small("base", 5)[1]
    assert one.gradient_norms == two.gradient_norms
    assert run_arm("base", TASK, 1, updates=5)[1].gradient_norms != one.gradient_norms
    assert len(one.gradient_norms) == 5


def test_records_hold_the_probe_and_the_last_step():
    _, run = run_arm("bias_-2", TASK, 0, updates=3, probe=recall_probe(TEST))
    (record,) = run.records
    assert record["step"] == 3
    assert math.isfinite(record["loss"])
    assert record["bias"][0] == pytest.approx(-2, abs=0.1)
    assert set(record) >= {"nll", "accuracy", "mass", "cached", "entropy", "relative"}


def test_a_stock_of_sequences_is_all_that_is_seen(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        RecallTask, "draw", lambda self, n, g, draw=RecallTask.draw: drawn.append(n) or draw(self, n, g)
    )
    small("data_256", 4)
    assert drawn == [256]
    drawn.clear()
    small("base", 4)
    assert drawn == [16] * 4


def test_controls_have_as_many_parameters_or_as_much_state_as_they_say():
    for cached, control in {
        "base": "equal_parameters",
        "width_16": "width_16_equal_parameters",
        "width_64": "width_64_equal_parameters",
        "two_layers": "two_layers_equal_parameters",
    }.items():
        layers = model_of(cached).config.layers
        assert parameters(model_of(cached)) - parameters(model_of(control)) == layers  # the learned biases
    memory = BASE.heads * (BASE.head_keys * 8 + BASE.head_keys)
    wide = model_of("equal_state").config
    assert wide.heads * (wide.head_keys * 8 + wide.head_keys) == 8 * memory  # eight segments of six in 48 steps


def test_each_arm_of_a_factor_changes_that_factor_alone():
    factors = {"bias": {"gate_bias"}, "segment": {"segment"}, "batch": {"batch"}, "data": {"sequences"}}
    for name, one in ARMS.items():
        if one.factor in factors and "equal" not in name:
            assert set(one.model) | set(one.training) == factors[one.factor], name
    assert arm("base").model == {}
    assert TRAINING.gates == "own"


def test_pairs_name_arms_and_a_start_can_be_any():
    assert {name for pair in memory_arms.PAIRS.values() for name in pair} <= set(memory_arms.STUDIES["all"])
    cell = memory_arms.started(-2.0, 3e-3)
    assert (cell.model, cell.training) == (arm("bias_-2_rate_3e-3").model, arm("bias_-2_rate_3e-3").training)
    assert small(cell, 4)[1].gradient_norms == small("bias_-2_rate_3e-3", 4)[1].gradient_norms


@pytest.mark.parametrize("name", ["soup", "residual"])
def test_other_aggregates_are_trained(name):
    model, run = small(name, 3, probe=recall_probe(TEST))
    assert model.config.aggregate == name
    assert (run.records[-1]["mass"] == []) == (name == "residual")
    silent = [w for w in model.blocks[0].gate.parameters() if w.grad is not None and w.grad.any()]
    assert silent == [] or name == "soup"


def test_unknown_arms_and_training_are_refused():
    with pytest.raises(BookError, match="arm='best' is not in the study; it has base"):
        arm("best")
    with pytest.raises(BookError, match="gates='mine'; use one of own, oracle, random"):
        RecallTraining(gates="mine")
    with pytest.raises(BookError, match="sequences=8 with batch=32"):
        RecallTraining(sequences=8)
    with pytest.raises(BookError, match="steps=0; it must be at least 1"):
        RecallTraining(steps=0)
