"""Log-mel frames: against transformers' filterbank, against counting, and on tones whose band is known."""

import numpy as np
import pytest

from lib.errors import BookError
from lib.models.log_mel import MelConfig, filterbank, framed, hann, hertz_to_mel, log_mel

MEL = MelConfig()


def test_filterbank_has_the_shape_of_transformers_triangles() -> None:
    from transformers.audio_utils import mel_filter_bank

    other = mel_filter_bank(513, MEL.bands, MEL.low, MEL.rate / 2, MEL.rate, norm=None, mel_scale="htk").T
    ours = filterbank(MEL)
    wide = (other > 0).sum(1) > 1  # transformers leaves triangles narrower than a bin empty or cut
    assert wide.sum() > 50
    np.testing.assert_allclose(ours[wide], (other / other.sum(1, keepdims=True))[wide], atol=1e-9)
    np.testing.assert_allclose(ours.sum(1), 1)


@pytest.mark.parametrize("samples", [1, 319, 320, 321, 5000])
def test_a_frame_for_every_hop_and_its_window_in_the_middle(samples: int) -> None:
    wave = np.arange(1, samples + 1, dtype=np.float32)
    frames = framed(wave, MEL)
    assert frames.shape == (-(-samples // 320), 1024)
    for index in range(len(frames)):
        first = index * MEL.hop
        np.testing.assert_array_equal(
            frames[index, MEL.lead : MEL.lead + min(320, samples - first)], wave[first : first + 320]
        )


@pytest.mark.parametrize("hertz", [200.0, 1000.0, 4000.0])
def test_a_tone_is_loudest_in_its_band(hertz: float) -> None:
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(24_000) / 24_000)
    loudest = log_mel(wave, MEL)[10:-10].mean(0).argmax()
    edges = np.linspace(hertz_to_mel(MEL.low), hertz_to_mel(MEL.rate / 2), MEL.bands + 2)
    assert edges[loudest] < hertz_to_mel(hertz) < edges[loudest + 2]


def test_doubling_the_samples_adds_log_two() -> None:
    wave = np.random.default_rng(0).standard_normal(8000) * 0.1
    np.testing.assert_allclose(log_mel(2 * wave, MEL) - log_mel(wave, MEL), np.log(2), atol=1e-4)


def test_window_is_periodic() -> None:
    from scipy.signal import get_window

    np.testing.assert_allclose(hann(1024), get_window("hann", 1024), atol=1e-12)


@pytest.mark.parametrize("wave", [np.zeros(0), np.zeros((2, 100))])
def test_refuses_what_is_no_channel(wave: np.ndarray) -> None:
    with pytest.raises(BookError, match="one channel"):
        log_mel(wave, MEL)
