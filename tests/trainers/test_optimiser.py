"""The schedule against all 60 logged rates of the speech run, and what weight decay falls on."""

from __future__ import annotations

import pytest
import torch

from lib.errors import BookError
from lib.models import HybridConfig, HybridDecoder
from lib.trainers import TrainingConfig, warmup_cosine
from lib.trainers.language_model import rate
from lib.trainers.optimiser import adamw, decays

LOGGED = """
1.19e-04 2.39e-04 3.00e-04 3.00e-04 2.99e-04 2.97e-04 2.96e-04 2.94e-04 2.91e-04 2.88e-04
2.85e-04 2.81e-04 2.77e-04 2.72e-04 2.68e-04 2.62e-04 2.57e-04 2.51e-04 2.45e-04 2.39e-04
2.32e-04 2.25e-04 2.18e-04 2.11e-04 2.04e-04 1.96e-04 1.88e-04 1.81e-04 1.73e-04 1.65e-04
1.57e-04 1.49e-04 1.41e-04 1.33e-04 1.26e-04 1.18e-04 1.10e-04 1.03e-04 9.55e-05 8.83e-05
8.14e-05 7.47e-05 6.82e-05 6.20e-05 5.61e-05 5.04e-05 4.51e-05 4.01e-05 3.54e-05 3.11e-05
2.72e-05 2.36e-05 2.05e-05 1.77e-05 1.54e-05 1.35e-05 1.19e-05 1.09e-05 1.02e-05 1.00e-05
"""
"""Rates at steps 200, 400, ... 12,000."""


def printed(shift: int) -> list[str]:
    """The schedule as the log prints it, `shift` steps before the logged step."""
    shape = {"peak": 3e-4, "floor": 1e-5, "warmup": 500, "total": 12_000}
    return [f"{warmup_cosine(step - shift, **shape):.2e}" for step in range(200, 12_001, 200)]


def test_all_logged_rates():
    assert len(LOGGED.split()) == 60
    assert printed(shift=1) == LOGGED.split()


def test_the_shift_is_seen():
    """Without the shift by one step the log would read otherwise: the test above can fail."""
    assert printed(shift=0) != LOGGED.split()


def test_the_trainer_uses_that_schedule():
    config = TrainingConfig(steps=1800, schedule_steps=12_000)
    assert [f"{rate(step, config):.2e}" for step in range(200, 1801, 200)] == LOGGED.split()[:9]
    assert rate(1, config) == 0.0


@pytest.mark.parametrize(
    ("step", "expected"),
    [(0, 0.0), (5, 0.5), (10, 1.0), (60, 0.55), (110, 0.1), (500, 0.1)],
    ids=["start", "in warmup", "peak", "half", "end", "beyond the end"],
)
def test_schedule_by_hand(step, expected):
    assert warmup_cosine(step, peak=1.0, floor=0.1, warmup=10, total=110) == pytest.approx(expected)


def test_schedule_without_room_for_a_cosine():
    assert warmup_cosine(5, peak=1.0, floor=0.1, warmup=5, total=5) == 1.0


@pytest.fixture
def model() -> HybridDecoder:
    config = HybridConfig(codebooks=2, vocabulary=8, pad=7, width=16, layers=2, heads=2, kv_heads=1, ffn_width=8)
    return HybridDecoder(config)


def test_decay_falls_on_matrices(model):
    groups = adamw(model, betas=(0.9, 0.95), weight_decay=0.01, decay="matrices").param_groups
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    spared = {id(weight) for weight in groups[1]["params"]}
    names = {name for name, weight in model.named_parameters() if id(weight) in spared}
    endings = ("A_log", "dt_bias", "norm.weight")
    assert names == {n for n, _ in model.named_parameters() if n.endswith(endings)} | {"embedding"}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))


def test_decay_on_everything_is_the_post_s(model):
    groups = adamw(model, betas=(0.9, 0.95), weight_decay=0.01, decay="all").param_groups
    assert len(groups) == 1
    assert len(groups[0]["params"]) == len(list(model.parameters()))


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("blocks.0.ffn.up_proj.weight", (4, 3), True),
        ("blocks.0.mixer.conv", (4, 1, 4), True),
        ("blocks.0.mixer.forget_proj.bias", (4,), False),
        ("embedding", (2, 5, 4), False),
        ("position", (9, 4), False),
    ],
)
def test_decays(name, shape, expected):
    assert decays(name, torch.nn.Parameter(torch.zeros(shape))) is expected


def test_unknown_decay(model):
    with pytest.raises(BookError, match="decay='some'"):
        adamw(model, betas=(0.9, 0.95), weight_decay=0.01, decay="some")
