"""The rule of a voice: windows halfway to the nearest null, and what silence, a drone and static do to it."""

import numpy as np
import pytest

from lib.analysis.voice_rule import STATIC, STILL, VoiceRule, first_majority, place, window
from lib.errors import BookError
from lib.models.log_mel import MelConfig
from lib.models.vocoder import pulses

RNG = np.random.default_rng(0)
BUZZ = 0.1 * pulses(np.full(225, 120.0), 0.0, MelConfig())[0]
SYLLABLES = np.clip(np.sin(2 * np.pi * 3 * np.arange(len(BUZZ)) / 24_000), 0, None)
SPEECH_LIKE = BUZZ * SYLLABLES + 1e-4 * RNG.standard_normal(len(BUZZ))
LEVELS = {name: {"fast_modulation": 0.4, "steady_pitch": 0.05} for name in STATIC}
LEVELS |= {"speech": {"fast_modulation": 0.05, "steady_pitch": 0.5}}
LEVELS |= {"frame held": {"fast_modulation": 0.06, "steady_pitch": 1.0}}
LEVELS |= {"silence": {"fast_modulation": 0.0, "steady_pitch": 0.0}}


def test_a_window_ends_halfway_to_the_nearest_null_on_either_side() -> None:
    assert window(0.5, [0.1, 0.3, 0.9]) == pytest.approx((0.4, 0.7))
    assert window(0.5, [0.1]) == (pytest.approx(0.3), np.inf)
    assert window(0.5, [0.9]) == (-np.inf, pytest.approx(0.7))


def test_the_still_nulls_set_no_level_of_fast_modulation() -> None:
    rule = VoiceRule.between(LEVELS)
    assert rule.fast == (-np.inf, pytest.approx(0.225))
    assert rule.steady == pytest.approx((0.275, 0.75))


def test_slow_and_partly_pitched_passes_while_silence_drone_and_static_do_not() -> None:
    rule = VoiceRule.between(LEVELS)
    assert rule.share([SPEECH_LIKE]) == 1
    assert rule.share([np.zeros(len(BUZZ)), BUZZ, 0.1 * RNG.standard_normal(len(BUZZ))]) == 0
    assert rule.share([SPEECH_LIKE, BUZZ]) == 0.5
    silent = place(np.zeros(len(BUZZ)))
    assert rule.fast[0] < silent[0] < rule.fast[1]  # so fast modulation alone would have let silence pass


def test_nearer_to_speech_is_what_the_window_says() -> None:
    rule = VoiceRule.between(LEVELS)
    nulls = [LEVELS[name]["steady_pitch"] for name in STATIC + STILL]
    for value in np.linspace(0, 1, 101):
        nearer = abs(value - 0.5) < min(abs(value - null) for null in nulls)
        assert nearer == (rule.steady[0] < value < rule.steady[1])


def test_a_missing_null_is_named() -> None:
    with pytest.raises(BookError, match="no levels of 'silence'"):
        VoiceRule.between({name: row for name, row in LEVELS.items() if name != "silence"})


def test_the_first_majority() -> None:
    assert first_majority([10, 20, 30], [0.4, 0.5, 0.1]) == 20
    assert first_majority([10], [0.4]) is None
