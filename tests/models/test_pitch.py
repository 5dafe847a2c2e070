"""Pitch: recovered from tones, pulses and vowels of known pitch; none in noise and silence."""

import numpy as np
import pytest

from lib.models.log_mel import MelConfig
from lib.models.pitch import pitch
from lib.models.vocoder import pulses

MEL = MelConfig()
TIME = np.arange(24_000) / 24_000


@pytest.mark.parametrize("hertz", [75.0, 110.0, 171.5, 240.0, 400.0])
@pytest.mark.parametrize("kind", ["pulses", "harmonics", "noisy"])
def test_recovers_a_known_pitch(hertz: float, kind: str) -> None:
    if kind == "pulses":
        wave = 0.1 * pulses(np.full(75, hertz), 0.0, MEL)[0]
    else:
        wave = sum(np.sin(2 * np.pi * k * hertz * TIME) / k for k in range(1, 8)) * 0.1
    if kind == "noisy":
        wave = wave + 0.02 * np.random.default_rng(0).standard_normal(len(wave))
    found = pitch(wave, MEL)[0][3:-3]
    assert (found > 0).all()
    assert np.abs(found / hertz - 1).max() < 0.02


def test_noise_and_silence_are_unvoiced() -> None:
    noise = 0.1 * np.random.default_rng(1).standard_normal(48_000)
    assert (pitch(noise, MEL)[0] > 0).mean() < 0.05
    assert not pitch(np.zeros(4000), MEL)[0].any()


def test_follows_a_glide() -> None:
    hertz = np.linspace(90, 180, 150)
    found = pitch(0.1 * pulses(hertz, 0.0, MEL)[0], MEL)[0][3:-3]
    assert np.abs(found / hertz[3:-3] - 1).max() < 0.03
