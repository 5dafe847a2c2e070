"""Measures of gates against cases whose answer is known, and the interval over seeds against scipy's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lib.analysis import (
    cached_mass,
    entropy_bound,
    gate_entropy,
    layer_entropies,
    least_normaliser,
    mean_cached,
    paired_effect,
    recall_probe,
    relative_entropy,
    residual_growth,
    seed_interval,
    spikes,
)
from lib.analysis.gate_measures import mass_at
from lib.datasets.recall import RecallTask
from lib.kernels import memory_gates
from lib.trainers.memory_arms import model_of

TASK = RecallTask(pairs=9, queries=3, keys=12, values=5)
BATCH = TASK.draw(32, torch.Generator().manual_seed(0))


def uniform(time: int, segment: int) -> torch.Tensor:
    x = torch.zeros(2, time, 3)
    return memory_gates(x, x, segment=segment)


def test_the_bound_is_the_entropy_of_uniform_gates():
    for n in (1, 8, 16, 32):
        assert entropy_bound(n) == pytest.approx(math.log(math.factorial(n)) / n, rel=1e-12)
        assert gate_entropy(uniform(4 * n, 4)) == pytest.approx(entropy_bound(n), abs=1e-6)
    assert entropy_bound(8) == pytest.approx(1.3256, abs=5e-5)
    assert entropy_bound(16) == pytest.approx(1.9170, abs=5e-5)
    assert entropy_bound(32) == pytest.approx(2.549, abs=5e-4)
    nearest = min(range(1, 65), key=lambda n: abs(entropy_bound(n) - 2.4))
    assert nearest == 27  # segments of 128: 3,456 steps


@pytest.mark.parametrize("time", [1, 4, 13, 24])
def test_relative_entropy_is_one_for_uniform_gates_and_zero_for_a_choice(time):
    found = relative_entropy(uniform(time, 4), 4)
    assert found == pytest.approx(1.0 if time > 4 else 0.0, abs=1e-6)
    choice = torch.nn.functional.one_hot(torch.arange(time) // 4).float()[None]
    assert relative_entropy(choice, 4) == 0


def test_entropy_does_not_tell_the_right_choice_from_a_wrong_one():
    right, wrong = BATCH.oracle(3), BATCH.oracle(3).roll(1, -1)
    segments, asked = BATCH.answered_at // 3, BATCH.asked
    assert gate_entropy(right) == gate_entropy(wrong) == 0
    assert (mass_at(right, segments, asked), mass_at(wrong, segments, asked)) == (1.0, 0.0)


def test_mass_of_uniform_gates_is_one_over_what_is_seen():
    gates = uniform(12, 3)[:1].expand(32, -1, -1)
    assert mass_at(gates, BATCH.answered_at // 3, BATCH.asked) == pytest.approx(1 / 4)
    assert cached_mass(gates, 3, BATCH.asked) == pytest.approx(3 / 4)


def test_spikes_are_multiples_of_the_median():
    assert spikes([1.0] * 9 + [25.0]) == [25.0]
    assert spikes([100.0] + [2.0] * 9 + [50.0], skip=1) == [25.0]
    assert spikes([1.0, 2.0, 3.0]) == []


def test_growth_is_relative_to_the_first_segment():
    assert residual_growth(torch.tensor([1.0, 3.0, 4.0, 4.0, 20.0]), 2) == pytest.approx([1, 2, 10])


def test_the_probe_reads_given_gates_and_the_model_s_own():
    model = model_of("base")
    probe = recall_probe(BATCH)
    own, oracle, lot = (probe(model, gates) for gates in ("own", "oracle", "random"))
    assert oracle["mass"] == [1.0]
    assert oracle["relative"] == lot["relative"] == [0.0]
    assert 0 < own["mass"][0] < 0.6
    assert own["relative"][0] > 0.9
    assert own["nll"] != oracle["nll"]
    assert probe(model, "random") == lot
    assert own["bias"] == [0.0]
    assert layer_entropies(model, BATCH.tokens) == own["relative"]
    assert probe(model_of("no_memory"))["mass"] == []
    assert probe(model_of("residual"))["mass"] == []
    assert probe(model_of("soup"))["mass"] != []


def test_the_gate_on_copies_leaves_the_first_segment_out():
    uniform_gates = model_of("uniform_gates")
    found = mean_cached(uniform_gates, BATCH.tokens)
    segments = BATCH.tokens.shape[-1] // 6
    assert found == pytest.approx([np.mean([1 - 1 / n for n in range(2, segments + 1)])])
    assert mean_cached(model_of("no_memory"), BATCH.tokens) == []


def test_no_z_of_a_block_is_below_the_least():
    model = model_of("base", torch.Generator().manual_seed(3))
    block, stream = model.blocks[0], model.embed(BATCH.tokens[:2])
    least = least_normaliser(block, stream, 6)
    q, k, _ = block.mixer.heads_of(block.norm(stream))
    first = (q[:, 0] * k[:, 0]).sum(-1).min().item()  # a segment's first token has the smallest sum
    assert 0 < least <= first
    assert least <= (q[:, ::6] * k[:, ::6]).sum(-1).min().item() + 1e-6


def test_the_interval_over_seeds_is_student_s():
    from scipy import stats

    values = np.random.default_rng(0).normal(size=5)
    mean, (low, high) = seed_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert mean == pytest.approx(values.mean())
    assert paired_effect(values, np.zeros(5)) == [mean, low, high]


def test_one_seed_has_no_interval():
    assert seed_interval([2.0]) == (2.0, None)
    assert paired_effect([2.0], [0.5]) == [1.5]
