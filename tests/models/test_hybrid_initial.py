"""How weights start: from the generator alone, and as the speech post has it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from lib.models import HybridConfig, HybridDecoder

from .conftest import draw


@pytest.fixture(scope="module")
def speech() -> HybridDecoder:
    return HybridDecoder(HybridConfig.speech_22m(), draw(0))


def test_one_generator_decides_all_weights(config):
    before = torch.get_rng_state()
    first, again, other = (HybridDecoder(config, draw(seed)).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    drawn = [name for name in first if not torch.equal(first[name], other[name])]
    assert {name.rsplit(".", 1)[-1] for name in set(first) - set(drawn)} <= {"weight", "gate"}
    assert all("norm" in name or name.endswith("cross.gate") for name in set(first) - set(drawn))


def test_xavier_bounds(speech):
    """A filter [C, 1, 4] counts C into its fan, so |w| < 0.072 for keys and 0.051 for values."""
    mixer = speech.blocks[0].mixer
    for weight, bound in zip(mixer.conv.split([288, 288, 576]), (0.072, 0.072, 0.051), strict=True):
        assert 0.97 * bound < weight.abs().max() < 1.01 * bound
    sizes = (288, 288, 576, 576, 6, 6)
    for weight, size in zip(mixer.in_proj.weight.split(sizes), sizes, strict=True):
        bound = math.sqrt(6 / (384 + size))
        assert 0.99 * bound < weight.abs().max() <= bound
    assert 0.99 * 0.25 * math.sqrt(6 / 960) < mixer.o_proj.weight.abs().max() <= 0.25 * math.sqrt(6 / 960)
    default = 1 / math.sqrt(1024)
    assert 0.99 * 0.25 * default < speech.blocks[0].ffn.down_proj.weight.abs().max() <= 0.25 * default


def test_decay_starts_in_its_ranges(speech):
    """A in (0, 16), softplus(dt_bias) log-uniform in [1e-3, 0.1]."""
    mixers = [block.mixer for block in speech.blocks if hasattr(block.mixer, "A_log")]
    assert len(mixers) == 6
    rate = torch.cat([mixer.A_log.detach().exp() for mixer in mixers])
    step = torch.cat([F.softplus(mixer.dt_bias.detach()) for mixer in mixers])
    assert 0 < rate.min() < 4
    assert 12 < rate.max() < 16
    assert 1e-3 * 0.999 < step.min() < 5e-3
    assert 0.05 < step.max() < 0.1 * 1.001


def test_embeddings_and_pad(speech):
    assert abs(speech.embedding[:, :1024].std() - 0.02) < 1e-4
    assert not speech.embedding[:, 1024].any()


def test_pad_learns_nothing(config, tokens, text):
    model = HybridDecoder(config, draw(1)).double()
    tokens[:, :, 5] = config.pad
    model(tokens, **text).square().sum().backward()
    assert not model.embedding.grad[:, config.pad].any()
    assert model.embedding.grad.any()


def test_older_mixer_starts_with_long_memory():
    config = replace(HybridConfig.music_300m(), layers=1)
    bias = HybridDecoder(config, draw(0)).blocks[0].mixer.forget_proj.bias.detach()
    half_life = math.log(0.5) / F.logsigmoid(bias)
    assert 2 <= bias.min() <= bias.max() <= 6
    assert half_life.max() / half_life.min() > 5
