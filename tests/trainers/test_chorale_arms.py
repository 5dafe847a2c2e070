"""The study on chorales: that arms change what they say, train, and are scored."""

from __future__ import annotations

import math

import pytest
import torch

from lib.errors import BookError
from lib.models.cached_memory import parameters
from lib.trainers import chorale_arms, memory_arms
from lib.trainers.chorale_arms import ARMS, chorale_loss, chorale_model, run_chorales

ITEMS = [torch.randint(9, (4, 36), generator=torch.Generator().manual_seed(i)).numpy() for i in range(16)]
FACTORS = {
    "bias": "gate_bias",
    "rate": "peak_lr",
    "segment": "segment",
    "width": "width",
    "data": "items",
    "batch": "batch",
    "start": "start_layer",
}


def small(name: str, updates: int = 4):
    return run_chorales(name, ITEMS[:8], ITEMS[8:], 0, pad=9, vocabulary=10, updates=updates)


@pytest.mark.parametrize("name", ["released", "late", "batch_4"])
def test_an_arm_is_trained_and_scored(name):
    model, norms, loss = small(name)
    assert len(norms) == 4
    assert 0.8 * math.log(9) < loss < 1.5 * math.log(10)
    assert chorale_loss(model, ITEMS[8:], 9) == loss


def test_every_factor_has_an_arm_that_changes_it_alone():
    alone = {one.factor: set() for one in ARMS.values()}
    for name, one in ARMS.items():
        if one.factor in FACTORS and "equal" not in name:
            assert set(one.model) | set(one.training) == {FACTORS[one.factor]}, name
            alone[one.factor].add(name)
    assert all(alone[factor] for factor in FACTORS)


def test_controls_have_as_many_parameters_as_their_arms():
    for cached, control in {"base": "equal_parameters", "width_32": None, "width_128": None, "data_64": None}.items():
        one, two = (chorale_model(name, 0, 10) for name in (cached, control or f"{cached}_equal_parameters"))
        assert parameters(one) - parameters(two) == one.config.layers  # the learned biases


def test_few_items_are_all_that_is_trained_on(monkeypatch):
    seen = []
    monkeypatch.setitem(ARMS, "data_64", memory_arms.Arm("data", {}, {"items": 2}))
    monkeypatch.setattr(chorale_arms, "train", lambda model, items, *_, **__: seen.append(len(items)) or Run())
    small("data_64")
    small("base")
    assert seen == [2, 8]


class Run:
    """A run that trained nothing."""

    history: tuple = ()


def test_the_rate_reaches_training():
    start = chorale_model("base", 0, 10).embedding
    slow, fast = ((small(name)[0].embedding - start).norm().item() for name in ("rate_1e-3", "rate_1e-2"))
    assert fast / slow == pytest.approx(10, rel=0.3)


def test_pairs_name_arms_and_unknown_ones_are_refused():
    pairs = [*chorale_arms.FORM_PAIRS.values(), *chorale_arms.FACTOR_PAIRS.values()]
    assert {name for pair in pairs for name in pair} == set(chorale_arms.STUDIES["all"])
    with pytest.raises(BookError, match="arm='best' is not in the study on chorales; it has equal_parameters"):
        chorale_model("best", 0, 10)
