"""The organ plays the pitches that are written, as long as they last."""

from __future__ import annotations

import numpy as np
import pytest

from lib.datasets import chorale_audio, music
from lib.errors import BookError


def test_the_loudest_frequency_is_the_note():
    tokens = np.full((4, 16), music.HOLD)
    tokens[:, 0] = music.REST
    tokens[1, 0] = music.token(69)
    sound = chorale_audio.render(tokens, rate=16000, tempo=60)
    assert len(sound) == pytest.approx(4 * 16000, rel=0.03)
    assert 0.85 < np.abs(sound).max() <= 0.9
    spectrum = np.abs(np.fft.rfft(sound[4000:36000]))
    assert np.argmax(spectrum) * 16000 / 32000 == pytest.approx(440, abs=1)


def test_rests_are_silent_and_a_silent_piece_is_refused():
    tokens = np.full((4, 16), music.HOLD)
    tokens[:, 0] = music.REST
    tokens[0, 8] = music.token(60)
    sound = chorale_audio.render(tokens, tempo=60)
    assert not sound[: 2 * 16000 - 1].any()
    assert sound[2 * 16000 :].any()
    tokens[0, 8] = music.HOLD
    with pytest.raises(BookError, match="no voice sounds"):
        chorale_audio.render(tokens)
