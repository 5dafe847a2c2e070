"""The codec's way in and out, on an untrained one of its shape, and what it says when there is none."""

from __future__ import annotations

import pytest
import torch

from lib.errors import BookError
from lib.models import dac
from lib.trainers import apply_delay


@pytest.fixture(scope="module")
def codec():
    from transformers import DacConfig, DacModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return DacModel(DacConfig(encoder_hidden_size=8, decoder_hidden_size=64, sampling_rate=44_100)).eval()


def test_a_second_becomes_86_frames_of_nine_codes(codec):
    samples = torch.sin(torch.arange(44_100) / 20)
    codes = dac.encode(codec, samples)
    assert codes.shape == (9, 86)
    assert 0 <= codes.min() <= codes.max() < 1024
    assert apply_delay(codes, 1024).shape == (9, 94)
    sound = dac.decode(codec, codes)
    assert abs(len(sound) - 86 * codec.config.hop_length) < 4 * codec.config.hop_length
    assert torch.isfinite(sound).all()


def test_what_does_not_fit(codec, tmp_path):
    with pytest.raises(BookError, match="one frame"):
        dac.encode(codec, torch.zeros(100))
    with pytest.raises(BookError, match=r"has \[9, T\]"):
        dac.decode(codec, torch.zeros(8, 4, dtype=torch.long))
    with pytest.raises(BookError, match="no DAC weights"):
        dac.load(str(tmp_path))
