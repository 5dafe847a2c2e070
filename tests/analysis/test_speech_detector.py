"""Silero's detector by our own forward pass: the packaged network's own numbers, speech heard, what is none refused."""

import numpy as np
import pytest
import torch

from lib.analysis.speech_detector import speech_probabilities, speech_probability
from lib.datasets import registry, speech
from lib.errors import BookError
from lib.models.resampling import resampled

CLIP = speech.pocket_speech(1)[0].wave
RNG = np.random.default_rng(0)
NAMES = {"stft_conv.weight": "_model.stft.forward_basis_buffer"}
NAMES |= {f"conv{i}.{part}": f"_model.encoder.{i - 1}.reparam_conv.{part}" for i in range(1, 5)
          for part in ("weight", "bias")}  # fmt: skip
NAMES |= {f"lstm_cell.{part}_{kind}": f"_model.decoder.rnn.{part}_{kind}" for part in ("weight", "bias")
          for kind in ("ih", "hh")}  # fmt: skip
NAMES |= {f"final_conv.{part}": f"_model.decoder.decoder.2.{part}" for part in ("weight", "bias")}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_with_the_packages_other_weights_it_is_the_packages_own_network() -> None:
    theirs = torch.jit.load(registry.fetch("silero_vad") / "data" / "silero_vad.jit").eval()
    held = theirs.state_dict()
    ours = speech_probabilities(CLIP, weights={name: held[there] for name, there in NAMES.items()})
    expected = theirs.audio_forward(torch.as_tensor(resampled(CLIP, 24_000, 16_000))[None], 16_000)[0]
    np.testing.assert_allclose(ours, expected.detach().numpy(), atol=1e-5)
    default = speech_probabilities(CLIP)
    assert np.abs(default - ours).mean() < 0.02  # another training of the same network


def test_speech_is_speech_and_noise_silence_and_a_tone_are_not() -> None:
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(48_000) / 24_000)
    assert speech_probability(CLIP) > 0.9
    for other in (0.05 * RNG.standard_normal(48_000), np.zeros(48_000), tone):
        assert speech_probability(other) < 0.1


def test_frames_are_32_ms_and_the_same_each_time() -> None:
    first = speech_probabilities(CLIP)
    assert first.shape == (-(-len(resampled(CLIP, 24_000, 16_000)) // 512),)
    assert ((first >= 0) & (first <= 1)).all()
    np.testing.assert_array_equal(first, speech_probabilities(CLIP))
    at_16k = resampled(CLIP, 24_000, 16_000)
    np.testing.assert_array_equal(first, speech_probabilities(at_16k, 16_000))


def test_without_its_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from lib.analysis import speech_detector

    monkeypatch.setattr(speech_detector, "find_spec", lambda name: None)
    speech_detector._packaged.cache_clear()
    with pytest.raises(BookError, match="needs the package silero-vad"):
        speech_probability(CLIP)


def test_what_is_no_recording_is_refused() -> None:
    with pytest.raises(BookError, match=r"samples have shape \[2, 9\]"):
        speech_probability(np.zeros((2, 9)))
