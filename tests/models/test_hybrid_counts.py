"""Parameter counts, to the unit and per component, on the meta device; what the config refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lib.errors import BookError
from lib.models import HybridConfig, HybridDecoder, matched_transformer, post_transformer

SPEECH = HybridConfig.speech_22m()
MUSIC = HybridConfig.music_300m()


def counts(config: HybridConfig) -> dict[str, int]:
    with torch.device("meta"):
        return HybridDecoder(config).component_counts()


def test_speech_components():
    """The formula of the released mixer, written out."""
    d, heads, keys, values, codebook = 384, 6, 6 * 48, 6 * 96, 8 * 1027 * 384
    released = d * (2 * keys + 2 * values + 2 * heads) + values * d + 2 * heads + 4 * (2 * keys + values) + 96
    assert released == 894_060
    assert counts(SPEECH) == {
        "recurrent": 6 * released,
        "attention": 2 * 393_344,
        "cross_attention": 0,
        "ffn": 8 * 1_179_648,
        "norms": 8 * 768,
        "backbone": 15_594_376,
        "embeddings": codebook,
        "positions": 0,
        "heads": codebook + d,
        "total": 21_904_648,
    }


def test_music_components():
    """17 older mixers of 4 d^2 + 2 (16 d + 16) + 128 and 5 attention mixers."""
    older = 4 * 1024**2 + 2 * (1024 * 16 + 16) + 2 * 64
    assert older == 4_227_232
    assert counts(MUSIC) == {
        "recurrent": 17 * older,
        "attention": 13_107_840,
        "cross_attention": 0,
        "ffn": 190_316_544,
        "norms": 45_056,
        "backbone": 17 * older + 13_107_840 + 190_316_544 + 45_056,
        "embeddings": 9_464_832,
        "positions": 0,
        "heads": 9_465_856,
        "total": 294_263_072,
    }


@pytest.mark.parametrize(
    ("config", "total"),
    [
        pytest.param(
            replace(MUSIC, mixer="gated_delta_net", final_attention=True), 326_407_936, id="music as released"
        ),
        pytest.param(replace(MUSIC, mixer="gated_delta_net"), 330_123_008, id="music released, last not forced"),
        pytest.param(post_transformer(), 20_472_192, id="speech transformer preset"),
        pytest.param(post_transformer(768, 20, 12, 3072, 9), 162_077_952, id="music transformer of the drafts"),
    ],
)
def test_named_totals(config, total):
    assert counts(config)["total"] == total


def test_counting_allocates_nothing():
    with torch.device("meta"):
        model = HybridDecoder(MUSIC)
    assert all(weight.is_meta for weight in model.parameters())


@pytest.mark.parametrize("config", [SPEECH, MUSIC], ids=["speech", "music"])
def test_matched_transformer_is_matched(config):
    matched = matched_transformer(config)
    assert all(matched.attends(layer) for layer in range(1, matched.layers + 1))
    share = counts(matched)["backbone"] / counts(config)["backbone"]
    assert abs(share - 1) < 0.01
    wider = replace(matched, ffn_width=matched.ffn_width + 8)
    narrower = replace(matched, ffn_width=matched.ffn_width - 8)
    for other in (wider, narrower):
        assert abs(counts(other)["backbone"] / counts(config)["backbone"] - 1) >= abs(share - 1)


def test_the_preset_is_not_matched():
    """The check above can fail: the preset called matched is 29 % short of the hybrid."""
    assert round(1 - counts(post_transformer())["backbone"] / counts(SPEECH)["backbone"], 2) == 0.29


@pytest.mark.parametrize(
    ("config", "schedule"),
    [
        pytest.param(SPEECH, "GGGAGGGA", id="speech"),
        pytest.param(replace(SPEECH, layers=6), "GGGAGA", id="last forced"),
        pytest.param(replace(SPEECH, layers=6, final_attention=False), "GGGAGG", id="last not forced"),
        pytest.param(replace(SPEECH, attention_every=1), "AAAAAAAA", id="attention only"),
        pytest.param(replace(SPEECH, attention_every=0, final_attention=False), "GGGGGGGG", id="recurrent only"),
        pytest.param(MUSIC, "GGGAGGGAGGGAGGGAGGGAGG", id="music"),
    ],
)
def test_schedule(config, schedule):
    assert "".join("A" if config.attends(n) else "G" for n in range(1, config.layers + 1)) == schedule


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 385),
        ("layers", 0),
        ("kv_heads", 4),
        ("mixer", "mamba"),
        ("ffn", "relu"),
        ("positions", "alibi"),
        ("attention_every", -1),
        ("key_ratio", 0.001),
        ("conv_width", 0),
        ("dropout", 1.0),
        ("pad", 1027),
        ("cross_attention", (9,)),
        ("text_width", 16),
        ("heads", 128),
    ],
)
def test_config_names_what_is_wrong(field, value):
    with pytest.raises(BookError) as error:
        replace(SPEECH, **{field: value})
    assert field in str(error.value)
    assert str(value) in str(error.value)
