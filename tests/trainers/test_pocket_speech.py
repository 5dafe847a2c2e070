"""The pocket run: its size, its weights on disk, samples along the way, and that it learns what there is to learn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.errors import BookError
from lib.models import HybridDecoder, SamplingConfig
from lib.trainers import train
from lib.trainers.pocket_speech import (
    CODES,
    SampleDuring,
    load_weights,
    pieces,
    pocket_decoder,
    pocket_training,
    save_weights,
    tokenised,
)

SMALL = {"width": 16, "layers": 2, "heads": 2, "kv_heads": 1, "ffn_width": 32}


def test_the_pocket_decoder_keeps_the_posts_order_of_layers() -> None:
    config = pocket_decoder()
    assert [config.attends(layer) for layer in (1, 2, 3, 4)] == [False, False, False, True]
    with torch.device("meta"):
        assert HybridDecoder(config).component_counts()["total"] == 1_420_136


def test_weights_come_back_in_half_precision(tmp_path: Path) -> None:
    config = pocket_decoder(**SMALL)
    model = HybridDecoder(config, torch.Generator().manual_seed(1)).eval()
    save_weights(dict(model.named_parameters()), tmp_path / "w.safetensors")
    again = load_weights(config, tmp_path / "w.safetensors")
    tokens = torch.randint(0, CODES, (1, 8, 20), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(again(tokens), model(tokens), atol=2e-2, rtol=0)
    with pytest.raises(BookError, match="another decoder"):
        load_weights(pocket_decoder(**SMALL | {"width": 32}), tmp_path / "w.safetensors")
    with pytest.raises(BookError, match="no weights at"):
        load_weights(config, tmp_path / "none.safetensors")


def test_training_learns_a_repeating_pattern_and_samples_on_the_way() -> None:
    rng = np.random.default_rng(0)
    base = torch.as_tensor(rng.integers(0, CODES, (8, 4)))
    clips = [base.repeat(1, 8)[:, : int(rng.integers(20, 32))] for _ in range(12)]
    config = pocket_training(40, log_every=10, eval_every=20, peak_lr=1e-2)
    model = HybridDecoder(pocket_decoder(**SMALL), torch.Generator().manual_seed(0))
    during = SampleDuring([10, 40], base[:, :1], 12, 2, SamplingConfig((0, 0), (0, 0), 1.0, 1.0, 0))
    averaged = replace(during, weights="ema", codes={})
    run = train(model, clips, config, generator=rng, validation=clips[:2], callbacks=[during, averaged])
    live = [row["nll"] for row in run.history if row["kind"] == "eval" and row["weights"] == "live"]
    assert len(live) == 2
    assert live[-1] < 2.5 < np.log(CODES)
    assert sorted(during.codes) == [10, 40]
    assert during.codes[40].shape == (2, 8, 12)
    expected = base.repeat(1, 3)[:, :12]
    right = [float((codes[0] == expected).float().mean()) for codes in during.codes.values()]
    assert right[1] > right[0]
    assert torch.equal(during.draw(model), during.codes[40])
    with run.averages["ema"].applied(model):
        assert torch.equal(during.draw(model), averaged.codes[40])
    assert not torch.equal(averaged.codes[40], during.codes[40])


def test_pieces_are_whole_and_in_order() -> None:
    codes = torch.arange(2 * 70).view(2, 70)
    cut = pieces([codes, codes[:, :20]], 30)
    assert [tuple(piece.shape) for piece in cut] == [(2, 30), (2, 30), (2, 20)]
    assert torch.equal(torch.cat(cut[:2], dim=1), codes[:, :60])
    assert len(pieces([codes], 70)) == 1


def test_tokenised_asks_the_codec() -> None:
    class Codec:
        def encode(self, wave: np.ndarray) -> np.ndarray:
            return np.full((8, len(wave)), 3)

    assert [tuple(codes.shape) for codes in tokenised(Codec(), [np.zeros(4), np.zeros(5)])] == [(8, 4), (8, 5)]
