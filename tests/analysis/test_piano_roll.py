"""What a piano roll shows is what the tokens say."""

from __future__ import annotations

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np

from lib.analysis import piano_roll
from lib.datasets import music

TOKENS = music.load()[0].tokens[:, :64]


def test_every_sounding_pitch_is_seen_and_notes_are_parted():
    image = piano_roll.picture(TOKENS)
    heard = music.sounding(TOKENS)
    bass = heard[3, 0]
    assert image[bass - piano_roll.LOWEST, 0] == 4
    assert image.shape == (49, 64 * piano_roll.FINE)
    assert set(np.unique(image)) <= {0, 1, 2, 3, 4, 5}
    for _, start, length, pitch, _ in music.notes(TOKENS):
        assert image[pitch - piano_roll.LOWEST, start * piano_roll.FINE] > 0
        assert (start + length) * piano_roll.FINE - 1 < image.shape[1]


def test_fermatas_are_marked_and_notes_out_of_sight_left_out():
    marked = music.fermatas(TOKENS).sum()
    assert (piano_roll.picture(TOKENS) == 5).sum() == 3 * marked > 0
    low = np.full((4, 8), music.HOLD)
    low[:, 0] = music.token(31)
    assert not piano_roll.picture(low).any()


def test_drawing_gives_series_of_known_length():
    fig, axes = plt.subplots()
    piano_roll.draw(axes, TOKENS, bar=16, pickup=4, title="roll")
    assert axes.get_title() == "roll"
    assert axes.images[0].get_array().size == 49 * 64 * piano_roll.FINE
    assert axes.get_xlim() == (0, 16)
    plt.close(fig)
