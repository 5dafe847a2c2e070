"""The prepared codec and hybrid of the speech chapters, made again at smoke size."""

import importlib.util
from pathlib import Path

import pytest

from lib.datasets import registry, speech
from lib.models import ResidualVQCodec
from lib.models.log_mel import log_mel
from lib.trainers.pocket_speech import load_weights, pocket_decoder


@pytest.mark.slow
def test_prepare_makes_a_codec_and_a_decoder(tmp_path: Path) -> None:
    recipe = registry.root() / "chapters" / "prepare" / "10.py"
    spec = importlib.util.spec_from_file_location("prepare_10", recipe)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.prepare(tmp_path, "smoke")
    codec = ResidualVQCodec.load(tmp_path / "10.codec.safetensors")
    assert (codec.codebooks, codec.size) == (8, 256)
    wave = speech.pocket_speech(3)[-1].wave
    codes = codec.encode(wave)
    apart = abs(codec.log_mel(codes) - log_mel(wave, codec.mel)).mean()
    assert apart < 0.5 * abs(log_mel(wave, codec.mel) - codec.mean).mean()
    load_weights(pocket_decoder(), tmp_path / "10.hybrid.safetensors")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 4_000_000
