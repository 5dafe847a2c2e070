"""The peers behind the same interface: EnCodec's shapes with random weights, Lyra where its package is installed."""

from pathlib import Path

import numpy as np
import pytest

from lib.datasets import registry
from lib.errors import BookError
from lib.models.codec_peers import EncodecTokenizer, LyraTokenizer


def test_encodec_has_the_posts_shape() -> None:
    codec = EncodecTokenizer.untrained()
    wave = np.random.default_rng(0).standard_normal(24_000).astype(np.float32) * 0.1
    codes = codec.encode(wave)
    assert codes.shape == (8, 75)
    assert codes.min() >= 0
    assert codes.max() < codec.size
    assert codec.decode(codes).shape == (24_000,)
    with pytest.raises(BookError, match="codes have shape"):
        codec.decode(codes[:4])


def test_encodec_without_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="no EnCodec weights"):
        EncodecTokenizer.from_folder(tmp_path)


def test_lyra_round_trip() -> None:
    pytest.importorskip("ai_edge_litert", reason="Lyra runs on ai-edge-litert, an optional peer")
    try:
        folder = registry.fetch("lyra_soundstream")
    except BookError as error:
        pytest.skip(str(error))
    codec = LyraTokenizer(folder, levels=15)
    wave = 0.2 * np.sin(2 * np.pi * 200 * np.arange(16_000) / 16_000)
    codes = codec.encode(wave)
    assert codes.shape == (15, 50)
    again = codec.decode(codes)
    assert again.shape == (16_000,)
    assert 0.03 < np.sqrt((again[4000:] ** 2).mean()) < 0.5


def test_lyra_without_its_package_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(BookError, match="ai-edge-litert"):
        LyraTokenizer(Path())
