"""Chorales: the grid against music21, ways to MIDI and back, windows, transposition, the split by tune."""

from __future__ import annotations

import hashlib
import importlib.util
import json

import numpy as np
import pytest

from lib.datasets import music, registry
from lib.errors import BookError

PIECES = music.load()


def example() -> np.ndarray:
    """Four bars' worth of every kind of token: rests at both ends, a fermata, a repeated note, a held one."""
    rng = np.random.default_rng(0)
    tokens = np.full((4, 24), music.HOLD, dtype=np.int8)
    for row in tokens:
        row[0] = music.REST
        for start in (2, 5, 6, 12, 17):
            row[start] = music.token(int(rng.integers(50, 70)), start == 12)
        row[20] = music.REST
    tokens[1, 5] = tokens[1, 2]
    return tokens


def test_what_ships():
    assert len(PIECES) == 351
    assert len({piece.name for piece in PIECES}) == 330  # the collection prints some pieces twice
    assert all(piece.tokens.shape[0] == 4 for piece in PIECES)
    compass = music.compass(PIECES)
    assert music.LOW <= compass.min() <= compass.max() <= music.HIGH
    assert (np.diff(compass[:, 0]) < 0).all()  # soprano first, bass last
    assert sum(int(music.fermatas(piece.tokens).sum()) for piece in PIECES) > 2000


def test_every_piece_returns_from_midi():
    for piece in PIECES[::3]:
        assert np.array_equal(music.from_midi(music.to_midi(piece.tokens)), piece.tokens), piece.name


@pytest.mark.slow
def test_every_piece_returns_from_a_midi_file(tmp_path):
    for piece in PIECES:
        music.to_midi(piece.tokens).write(str(tmp_path / "piece.mid"))
        assert np.array_equal(music.from_midi(tmp_path / "piece.mid"), piece.tokens), piece.name


@pytest.mark.parametrize("tempo", [60.0, 84.0, 97.3])
def test_odd_tokens_return_from_a_midi_file(tmp_path, tempo):
    music.to_midi(example(), tempo=tempo).write(str(tmp_path / "piece.mid"))
    assert np.array_equal(music.from_midi(tmp_path / "piece.mid"), example())


def test_midi_of_another_kind_is_refused():
    import pretty_midi

    midi = music.to_midi(example())
    midi.instruments.pop()
    with pytest.raises(BookError, match="3 tracks"):
        music.from_midi(midi)
    midi = music.to_midi(example())
    midi.instruments[0].notes.append(pretty_midi.Note(80, 60, 0.4, 3.0))
    with pytest.raises(BookError, match="two notes at once"):
        music.from_midi(midi)


def test_parsing_gives_what_ships_and_what_music21_hears():
    """Two pieces parsed afresh; their sounding pitches at every sixteenth are those of music21's own offsets."""
    for made, score in zip(music.parse(2), music._scores(), strict=False):
        shipped = next(piece for piece in PIECES if piece.name == made.name)
        assert np.array_equal(made.tokens, shipped.tokens)
        assert (made.sharps, made.bar, made.pickup) == (shipped.sharps, shipped.bar, shipped.pickup)
        heard = music.sounding(made.tokens)
        for voice, part in enumerate(score.parts):
            for note in part.flatten().notes:
                start, end = (round(float(x) * 4) for x in (note.offset, note.offset + note.quarterLength))
                assert (heard[voice, start:end] == note.pitch.midi).all()


def test_the_recipe_makes_the_file(tmp_path):
    path = registry.root() / "chapters" / "prepare" / "07.py"
    spec = importlib.util.spec_from_file_location("prepare_07", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    recipe.prepare(tmp_path, "smoke")
    assert sorted(made.name for made in tmp_path.iterdir()) == ["07.chorales.npz", "07.hybrid.safetensors"]
    with np.load(tmp_path / "07.chorales.npz") as file:
        assert np.array_equal(file["tokens"][:, : PIECES[0].steps], PIECES[0].tokens)


def test_what_ships_is_what_was_made():
    folder = registry.root() / "data" / "prepared"
    sums = json.loads((folder / "07.provenance.json").read_text(encoding="utf-8"))["files"]
    for name, wanted in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == wanted


def test_sounding_and_notes_agree():
    tokens = example()
    heard, drawn = music.sounding(tokens), np.full((4, 24), music.SILENT)
    for voice, start, length, pitch, marked in music.notes(tokens):
        drawn[voice, start : start + length] = pitch
        assert marked == (start == 12)
    assert np.array_equal(heard, drawn)


def test_an_excerpt_sounds_like_its_part():
    piece = PIECES[5].tokens
    for start in (0, 3, 40):
        cut = music.excerpt(piece, start, 32)
        assert np.array_equal(music.sounding(cut), music.sounding(piece)[:, start : start + 32])
        assert not (cut[:, 0] == music.HOLD).any() or start == 0


def test_transposition():
    tokens = PIECES[0].tokens
    up = music.transpose(tokens, 3)
    assert np.array_equal(music.sounding(up), music.sounding(tokens) + 3)
    assert np.array_equal(music.fermatas(up), music.fermatas(tokens))
    assert np.array_equal(music.transpose(up, -3), tokens)
    with pytest.raises(BookError, match="tokens exist for"):
        music.transpose(tokens, 40)
    ranges = music.compass(PIECES)
    found = music.shifts(tokens, 6, ranges)
    assert found[0] == 0
    for shift in found:
        moved = music.sounding(music.transpose(tokens, shift))
        assert all(ranges[v, 0] <= row[row >= 0].min() <= row.max() <= ranges[v, 1] for v, row in enumerate(moved))


@pytest.mark.parametrize("sharps", [-5, -1, 0, 2, 6])
def test_the_neutral_key(sharps):
    from music21 import key, pitch

    piece = next(p for p in PIECES if p.sharps == sharps) if sharps not in (-5, 6) else PIECES[0]
    moved = music.in_key(piece)
    shift = int((music.sounding(moved.tokens) - music.sounding(piece.tokens))[0, -1])
    tonic = key.KeySignature(piece.sharps).asKey("major").tonic
    assert pitch.Pitch(tonic.midi + shift).pitchClass == 0
    assert abs(shift) <= 6


def test_windows_cover_every_step_and_begin_on_quarters():
    items = music.windows(PIECES[:3], 64, hop=32)
    assert all(item.shape[0] == 4 and item.shape[1] <= 64 and item.dtype == np.int64 for item in items)
    alone = music.windows(PIECES[:1], 64)
    assert sum(item.shape[1] for item in alone) >= PIECES[0].steps
    assert np.array_equal(music.sounding(alone[-1])[:, -1], music.sounding(PIECES[0].tokens)[:, -1])
    more = music.windows(PIECES[:3], 64, hop=32, most=4, ranges=music.compass(PIECES))
    assert len(more) > 3 * len(items)
    with pytest.raises(BookError, match="leave the quarters"):
        music.windows(PIECES, 30)


def test_no_tune_is_on_two_sides():
    train, validation, test = music.split(PIECES, np.random.default_rng(0))
    assert len(train) + len(validation) + len(test) == 330
    assert min(len(validation), len(test)) >= 33
    tunes = [{music.tune(piece) for piece in part} for part in (train, validation, test)]
    assert not (tunes[0] & tunes[1]) | (tunes[0] & tunes[2]) | (tunes[1] & tunes[2])
    assert len(tunes[0]) < len(train)  # tunes do come back, so that the grouping has something to do
    again = music.split(PIECES, np.random.default_rng(0))[1]
    assert [piece.name for piece in again] == [piece.name for piece in validation]
    with pytest.raises(BookError, match="shares"):
        music.split(PIECES, np.random.default_rng(0), (0.6, 0.5))
