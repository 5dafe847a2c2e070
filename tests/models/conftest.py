"""Small decoders of every kind."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lib.models import HybridConfig, HybridDecoder

SMALL = HybridConfig(
    codebooks=3,
    vocabulary=23,
    pad=20,
    width=24,
    layers=4,
    heads=4,
    kv_heads=2,
    ffn_width=40,
    attention_every=3,
    dropout=0.0,
)
KINDS = {
    "released mixer": SMALL,
    "older mixer": replace(SMALL, mixer="gated_delta_simple", final_attention=False),
    "attention only": replace(SMALL, attention_every=1),
    "recurrent only": replace(SMALL, attention_every=0, final_attention=False),
    "learned positions, gelu": replace(SMALL, positions="learned", max_positions=40, ffn="gelu", qk_norm=False),
    "cross-attention": replace(SMALL, cross_attention=(2, 4), text_width=10),
}


@pytest.fixture
def small() -> HybridConfig:
    """A decoder that fits in a test."""
    return SMALL


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def config(request) -> HybridConfig:
    """One config of each kind."""
    return request.param


def draw(seed: int) -> torch.Generator:
    """A generator with a seed."""
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def decoder(config) -> HybridDecoder:
    """A decoder of each kind, in float64, with weights large enough to matter and cross-attention gates open."""
    return lively(config)


@pytest.fixture
def make_decoder():
    """lively(config): a float64 decoder with weights large enough to matter."""
    return lively


def lively(config: HybridConfig) -> HybridDecoder:
    """Gains and gates away from their initial values, embeddings of size one: errors cannot hide in small numbers."""
    model = HybridDecoder(config, draw(1)).double().eval()
    with torch.no_grad():
        model.embedding.mul_(50)
        for name, weight in model.named_parameters():
            if name.endswith("norm.weight"):
                weight.uniform_(0.5, 1.5, generator=draw(len(name)))
            if name.endswith("gate") and weight.dim() == 0:
                weight.fill_(0.7)
    return model


@pytest.fixture
def tokens(config) -> torch.Tensor:
    """Tokens [2, K, 17], some of them pad."""
    return torch.randint(0, config.vocabulary, (2, config.codebooks, 17), generator=draw(2))


@pytest.fixture
def text(config) -> dict[str, torch.Tensor]:
    """The model's text arguments, where it reads text."""
    if not config.cross_attention:
        return {}
    states = torch.randn(2, 6, config.text_width, generator=draw(3), dtype=torch.float64)
    return {"text": states, "text_lengths": torch.tensor([6, 4])}
