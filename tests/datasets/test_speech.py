"""Speech: what ships is what its table says, folders are read, splits and chunks keep their promises."""

import csv
from pathlib import Path

import numpy as np
import pytest

from lib.datasets import registry, speech
from lib.errors import BookError


@pytest.fixture(scope="module")
def clips() -> list[speech.Clip]:
    return speech.pocket_speech()


def test_pocket_speech_is_long_enough_and_light_enough(clips: list[speech.Clip]) -> None:
    assert sum(clip.seconds for clip in clips) > 15 * 60
    assert registry.fetch("pocket_speech").stat().st_size < 5_000_000
    assert len({clip.text for clip in clips}) == len(clips) == len({clip.id for clip in clips})


def test_every_clip_lies_where_the_table_says(clips: list[speech.Clip]) -> None:
    with registry.fetch("pocket_speech_texts").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert [len(clip.wave) for clip in clips] == [int(row["samples"]) for row in rows]
    for clip in clips[:: len(clips) // 40]:
        edge, middle = clip.wave[:600], clip.wave[2400:-2400]
        assert np.abs(edge).max() < 0.1 < np.abs(middle).max() <= 1
        assert 0.15 < clip.seconds / len(clip.text.split()) < 0.8  # a word takes about three tenths of a second


def test_texts_are_sentences(clips: list[speech.Clip]) -> None:
    for clip in clips:
        assert clip.text[-1] in '.?"'
        assert clip.text.lstrip('"')[0].isupper()
        assert "{" not in clip.text
        assert "  " not in clip.text


def test_a_folder_of_ones_own(tmp_path: Path, clips: list[speech.Clip]) -> None:
    import soundfile

    (tmp_path / "wavs").mkdir()
    soundfile.write(tmp_path / "wavs" / "a.wav", np.tile(clips[0].wave[:24_000, None], (1, 2)), 24_000)
    soundfile.write(tmp_path / "wavs" / "b.flac", clips[1].wave[:22_050], 22_050)
    (tmp_path / "metadata.csv").write_text("a|one|first\nb|two|second\n", encoding="utf-8")
    first, second = speech.folder(tmp_path)
    assert (first.id, first.text, second.text) == ("a", "first", "second")
    np.testing.assert_allclose(first.wave, clips[0].wave[:24_000], atol=1e-4)
    assert len(second.wave) == 24_000
    (tmp_path / "metadata.csv").write_bytes("\ufeffa.wav|one, and a half\r\nb\r\n".encode())
    assert [(clip.id, clip.text) for clip in speech.folder(tmp_path)] == [("a", "one, and a half"), ("b", "")]
    soundfile.write(tmp_path / "wavs" / "a.wav", np.zeros(0), 24_000)
    with pytest.raises(BookError, match=r"a\.wav holds no sound"):
        speech.folder(tmp_path)
    (tmp_path / "metadata.csv").write_text("c|three|third\n", encoding="utf-8")
    with pytest.raises(BookError, match="names c"):
        speech.folder(tmp_path)
    (tmp_path / "wavs" / "c.wav").write_bytes(b"no sound")
    with pytest.raises(BookError, match="cannot be read as sound"):
        speech.folder(tmp_path)
    (tmp_path / "metadata.csv").write_text("\n", encoding="utf-8")
    with pytest.raises(BookError, match="is empty"):
        speech.folder(tmp_path)
    with pytest.raises(BookError, match=r"no metadata\.csv"):
        speech.folder(tmp_path / "nowhere")


def test_split_keeps_utterances_whole(clips: list[speech.Clip]) -> None:
    train, held = speech.split(clips, 0.1, np.random.default_rng(0))
    assert len(held) == round(0.1 * len(clips))
    assert sorted([c.id for c in train + held]) == sorted(c.id for c in clips)
    for share in (0.0, 1.0):
        with pytest.raises(BookError, match="leaves one side empty"):
            speech.split(clips, share, np.random.default_rng(0))


def test_every_tenth_holds_out_the_same_clips_of_any_beginning(clips: list[speech.Clip]) -> None:
    train, held = speech.every_tenth(clips)
    assert len(train) + len(held) == len(clips)
    assert [c.id for c in speech.every_tenth(clips[:40])[1]] == [c.id for c in held[:4]]
    assert not {c.id for c in speech.every_tenth(clips[:40])[0]} & {c.id for c in held}
    with pytest.raises(BookError, match="9 clips hold out none"):
        speech.every_tenth(clips[:9])


def test_chunks_as_the_post_cut_them() -> None:
    wave = np.arange(1, 21)

    def cut(n, **options):
        return [len(c) for c in speech.chunks(wave[:n], 8.0, rate=1, **options)]

    assert cut(6, pad=True) == [8]
    assert cut(6, pad=False) == [6]
    assert cut(8, pad=True) == [8]
    assert cut(19, pad=True) == [8, 8]
    assert cut(19, pad=True, keep_tail=2.0) == [8, 8, 8]
    assert cut(17, pad=True, keep_tail=2.0) == [8, 8]
    assert cut(19, pad=False, keep_tail=2.0) == [8, 8, 3]
    padded = speech.chunks(wave[:6], 8.0, pad=True, rate=1)[0]
    np.testing.assert_array_equal(padded, [1, 2, 3, 4, 5, 6, 0, 0])


def test_real_clips_where_they_are() -> None:
    try:
        clips = speech.lj_speech()
    except BookError as error:
        pytest.skip(str(error))
    assert len(clips) == 24
    assert sum(bool(clip.text) for clip in clips) == 8
    assert all(1 < clip.seconds < 12 for clip in clips)
