"""Players: what is refused, what is kept, and that the sound inside is the sound given."""

import base64
import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile

from lib.errors import BookError
from lib.press import current, run, sound

RATE = 24000
ALT = "A tone of 440 hertz that fades."
GIVEN = {"__annotations__": {"profile": str, "seed": int}, "profile": "teach", "seed": 0}


def tone(seconds: float = 1.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return 0.5 * np.sin(2 * np.pi * 440 * time) * np.exp(-time)


def heard(page: str) -> tuple[np.ndarray, int]:
    data = re.search(r"base64,([^\"]+)", page)[1]
    return soundfile.read(io.BytesIO(base64.b64decode(data)))


def test_the_player_carries_the_sound_that_was_given():
    wave, rate = heard(sound.player(tone(), RATE, ALT))
    assert rate == RATE
    spectrum = np.abs(np.fft.rfft(wave[:RATE]))
    assert np.argmax(spectrum) == pytest.approx(440, abs=1)
    assert np.sqrt(np.mean(wave**2)) == pytest.approx(np.sqrt(np.mean(tone() ** 2)), rel=0.05)


def test_the_player_is_xml_and_says_what_one_hears():
    tree = ElementTree.fromstring(sound.player(tone(0.1), RATE, 'a <b> & "c"'))
    assert tree.find("figcaption").text == 'a <b> & "c"'
    assert tree.find("audio").get("aria-label") == 'a <b> & "c"'


def test_loudness_is_the_root_mean_square_of_each_tenth():
    wave = np.concatenate([np.full(2400, 0.5), np.full(2400, -0.25), np.full(600, 1.0)])
    assert sound.loudness(wave, RATE) == pytest.approx([0.5, 0.25, 1.0])


def test_show_keeps_the_loudness_and_tells_it(tiny, capsys):
    run.check_parameters("01", GIVEN)
    sound.show(tone(), RATE, alt=ALT, name="tone")
    assert current.get().series["tone"]["loudness"]["n"] == 10
    assert capsys.readouterr().out == f"Sound: {ALT}\nLength: 1.0 s\n"
    with pytest.raises(BookError, match="'tone' was shown already"):
        sound.show(tone(), RATE, alt=ALT, name="tone")


@pytest.mark.parametrize(
    ("wave", "rate", "alt", "named"),
    [
        (tone(), RATE, "short", "too short"),
        (np.zeros((2, 10)), RATE, ALT, r"shape \[2, 10\]"),
        (np.zeros(0), RATE, ALT, r"shape \[0\]"),
        (np.zeros(10), RATE, ALT, "all zero"),
        (tone() * 4, RATE, ALT, "between -1 and 1"),
        (tone() * np.nan, RATE, ALT, "finite"),
        (tone(), 7350, ALT, "rate 7350"),
        (tone(21), RATE, ALT, r"last 21\.0 s"),
    ],
)
def test_what_is_refused(tiny, wave, rate, alt, named):
    run.check_parameters("01", GIVEN)
    with pytest.raises(BookError, match=named):
        sound.show(wave, rate, alt=alt)
    assert not current.get().series
