"""Counts of multiply-adds against the maps they stand for, the crossover, the plan, and timing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lib.analysis import mixer_cost
from lib.errors import BookError
from lib.models import HybridConfig, HybridDecoder

MUSIC = HybridConfig.music_300m()
TINY = replace(MUSIC, width=32, heads=4, kv_heads=2, layers=4, ffn_width=32)


def test_the_maps_are_the_parameters():
    """Every weight of a map is one multiply-add a position; norms and biases are left out."""
    with torch.device("meta"):
        counts = HybridDecoder(MUSIC).component_counts()
    norms = 2 * MUSIC.head_size
    assert mixer_cost.attention_cost(MUSIC, -1) == counts["attention"] / 5 - norms
    state = 4 * MUSIC.width * MUSIC.head_size
    assert mixer_cost.delta_cost(MUSIC) == counts["recurrent"] / 17 - norms - 2 * MUSIC.heads + state


def test_the_crossover_is_where_the_costs_cross():
    for config in (MUSIC, TINY, HybridConfig.speech_22m()):
        at = mixer_cost.crossover(config)
        assert mixer_cost.attention_cost(config, at) > mixer_cost.delta_cost(config)
        assert mixer_cost.attention_cost(config, at - 1) <= mixer_cost.delta_cost(config)


def test_a_stack_lies_between_its_parts():
    cost = {every: mixer_cost.stack_cost(replace(MUSIC, attention_every=every), 8192) for every in (0, 1, 4)}
    assert cost[0] < cost[4] < cost[1]
    assert mixer_cost.memory(MUSIC, 128) == (65_536, 65_536)


def test_the_fallback_scales_as_it_says():
    plan = {"steps": 10, "batch": 8, "micro_batch": 4, "length": 64}
    seen = (2.0, 3, 64, 8, 4 * 8 * 8)
    found = mixer_cost.fallback_years(TINY, observed=seen, **plan)
    year = 365.25 * 86400
    assert found["launches"] == pytest.approx(2.0 * 10 * 2 / year)  # three recurrent layers too, two micro-batches
    assert found["traffic"] == pytest.approx(2.0 * 10 / year)


def test_timing_and_refusals():
    assert mixer_cost.mixer_seconds(TINY, "attention", 16) > 0
    assert mixer_cost.mixer_seconds(TINY, "recurrence", 16, impl="naive") > 0
    with pytest.raises(BookError, match="kind"):
        mixer_cost.mixer_seconds(TINY, "magic", 16)
    with pytest.raises(BookError, match="repeats"):
        mixer_cost.cpu_seconds(int, repeats=0)
    assert mixer_cost.plan_flops(MUSIC, 100, 1.0, 2048) > 600
