"""The codec: round trips, streams that agree with the whole, known pitch kept, bad input refused."""

from pathlib import Path

import numpy as np
import pytest

from lib.errors import BookError
from lib.models.codec import DecoderStream, EncoderStream, ResidualVQCodec
from lib.models.log_mel import MelConfig, log_mel
from lib.models.pitch import pitch
from lib.models.vocoder import Vocoder, griffin_lim, minimum_phase, overlap_add, pulses, transform
from lib.trainers.residual_vq import fit_residual_vq

MEL = MelConfig()


def vowel(seconds: float, hertz: float = 120.0, seed: int = 0) -> np.ndarray:
    """Pulses through two resonances, with silent and hissing stretches: as much of speech as a test needs."""
    from scipy.signal import lfilter

    rng = np.random.default_rng(seed)
    frames = round(seconds * 75)
    wave = pulses(hertz * 2 ** (0.2 * np.sin(np.arange(frames) / 20)), 0.0, MEL)[0]
    wave = np.where(np.arange(len(wave)) % 12_000 < 8000, wave, rng.standard_normal(len(wave)))
    for centre, width in ((500 + 100 * seed, 90), (1500, 150), (2700, 250)):
        radius = np.exp(-np.pi * width / MEL.rate)
        wave = lfilter([1 - radius], [1, -2 * radius * np.cos(2 * np.pi * centre / MEL.rate), radius**2], wave)
    loud = 0.5 + 0.5 * np.sin(np.arange(len(wave)) * 2 * np.pi * 3 / MEL.rate)
    return (0.3 * wave / np.abs(wave).max() * loud).astype(np.float32)


@pytest.fixture(scope="module")
def codec() -> ResidualVQCodec:
    frames = np.concatenate([log_mel(vowel(4, seed=seed, hertz=90 + 20 * seed), MEL) for seed in range(4)])
    tables, mean = fit_residual_vq(frames, 3, 64, np.random.default_rng(0), rounds=5)
    return ResidualVQCodec(tables, mean)


def test_codes_have_the_promised_shape(codec: ResidualVQCodec) -> None:
    codes = codec.encode(vowel(1.01))
    assert codes.shape == (codec.codebooks, 76) == (4, 76)
    assert codec.frame_rate == 75
    assert codes.min() >= 0
    assert codes.max() < codec.size == 64
    assert codec.decode(codes).shape == (76 * 320,)


def test_decoding_keeps_spectrum_loudness_and_pitch(codec: ResidualVQCodec) -> None:
    wave = vowel(2)
    again = codec.decode(codec.encode(wave))[: len(wave)]
    assert np.sqrt((again**2).mean() / (wave**2).mean()) == pytest.approx(1, abs=0.2)
    apart = np.abs(log_mel(again, MEL) - log_mel(wave, MEL)).mean()
    other = np.abs(log_mel(wave[::-1], MEL) - log_mel(wave, MEL)).mean()
    assert apart < 0.4 * other
    before, after = pitch(wave, MEL)[0], pitch(again, MEL)[0]
    both = (before > 0) & (after > 0)
    assert both.sum() > 0.7 * (before > 0).sum()
    assert np.median(np.abs(after[both] / before[both] - 1)) < 0.03


def test_more_stages_leave_less(codec: ResidualVQCodec) -> None:
    frames = log_mel(vowel(2, seed=1), MEL)
    left = [
        np.abs(ResidualVQCodec(codec.tables[:n], codec.mean).log_mel(codes) - frames).mean()
        for n in (1, 2, 3)
        for codes in [np.concatenate((codec.quantise(frames)[:n], np.zeros((1, len(frames)), int)))]
    ]
    assert left[0] > left[1] > left[2]


def test_reconstruction_is_a_fixed_point_of_quantisation_at_one_stage(codec: ResidualVQCodec) -> None:
    one = ResidualVQCodec(codec.tables[:1], codec.mean)
    codes = np.arange(64)[None]
    np.testing.assert_array_equal(one.quantise(one.log_mel(np.concatenate((codes, codes)))), codes)


@pytest.mark.parametrize("step", [1, 7, 50])
def test_streamed_decoding_equals_decoding_the_whole(codec: ResidualVQCodec, step: int) -> None:
    codes = codec.encode(vowel(1.3))
    stream = DecoderStream(codec)
    parts = [stream.push(codes[:, i : i + step]) for i in range(0, codes.shape[1], step)] + [stream.flush()]
    np.testing.assert_allclose(np.concatenate(parts), codec.decode(codes), atol=1e-5)


def test_the_decoder_is_less_than_four_frames_late(codec: ResidualVQCodec) -> None:
    stream = DecoderStream(codec)
    codes = codec.encode(vowel(1))
    said = 0
    for frame in range(codes.shape[1]):
        said += len(stream.push(codes[:, frame : frame + 1]))
        assert said > (frame + 1 - 4) * 320


@pytest.mark.parametrize("step", [100, 320, 5000])
def test_streamed_encoding_equals_encoding_the_whole(codec: ResidualVQCodec, step: int) -> None:
    wave = vowel(1.17)
    stream = EncoderStream(codec)
    parts = [stream.push(wave[i : i + step]) for i in range(0, len(wave), step)] + [stream.flush()]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), codec.encode(wave))


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_the_shortest_codes_decode(codec: ResidualVQCodec, frames: int) -> None:
    assert len(codec.decode(codec.encode(vowel(1))[:, :frames])) == frames * 320


def test_pitch_codes_are_fine_and_keep_unvoiced_apart() -> None:
    codec = ResidualVQCodec(np.zeros((7, 256, 64), np.float32), np.zeros(64, np.float32))
    hertz = np.array([0, 60, 61, 100, 223.4, 450, 500, 40])
    codes = codec.pitch_codes(hertz)
    back = codec.pitch(np.broadcast_to(codes, (8, len(codes))))
    assert back[0] == 0
    assert codes[0] == 0
    assert (codes[1:] > 0).all()
    np.testing.assert_allclose(back[1:6], hertz[1:6], rtol=0.004)
    np.testing.assert_allclose(back[6:], [450, 60], rtol=1e-6)


def test_saving_keeps_the_codes(codec: ResidualVQCodec, tmp_path: Path) -> None:
    codec.save(tmp_path / "codec.safetensors")
    again = ResidualVQCodec.load(tmp_path / "codec.safetensors")
    codes, other = codec.encode(vowel(1)), again.encode(vowel(1))
    assert (codes != other).mean() < 0.05  # fp16 moves a frame that lies between two centroids
    with pytest.raises(BookError, match="no codec at"):
        ResidualVQCodec.load(tmp_path / "other.safetensors")


def test_refuses_codes_that_are_none(codec: ResidualVQCodec) -> None:
    for codes in (np.zeros((3, 5), int), np.zeros((4, 0), int), np.zeros(4, int)):
        with pytest.raises(BookError, match="codes have shape"):
            codec.decode(codes)
    for value in (-1, 64):
        with pytest.raises(BookError, match="this codec has 0 to 63"):
            codec.decode(np.full((4, 5), value))
    with pytest.raises(BookError, match="do not fit"):
        ResidualVQCodec(np.zeros((7, 256, 10), np.float32), np.zeros(64, np.float32))


def test_griffin_lim_gives_magnitudes_but_no_voice(codec: ResidualVQCodec) -> None:
    wave = vowel(2)
    codes = codec.encode(wave)
    guessed, made = codec.decode_griffin_lim(codes, 30), codec.decode(codes)
    assert len(guessed) == len(made)
    assert np.abs(log_mel(guessed, MEL) - codec.log_mel(codes)).mean() < 1.0
    voiced = [(pitch(x, MEL)[0] > 0).mean() for x in (guessed, made, wave[: len(made)])]
    assert voiced[0] < 0.7 * voiced[1]


def test_griffin_lim_approaches_consistency() -> None:
    mel = log_mel(vowel(1), MEL)
    from lib.models.vocoder import interpolation

    target = np.exp(mel @ interpolation(MEL).T) * MEL.window / 2
    off = []
    for rounds in (1, 30):
        wave = np.pad(griffin_lim(mel, MEL, iterations=rounds), (MEL.lead, MEL.window))
        off.append(np.abs(np.abs(transform(wave, len(mel), MEL)) - target).mean())
    assert off[1] < off[0]


def test_overlap_add_inverts_the_transform() -> None:
    wave = np.random.default_rng(0).standard_normal(320 * 9 + 1024)
    back = overlap_add(transform(wave, 10, MEL), MEL)
    np.testing.assert_allclose(back[300:-300], wave[300:-300], atol=1e-9)


def test_minimum_phase_has_the_gains_and_comes_early() -> None:
    gains = np.exp(np.random.default_rng(0).standard_normal((2, 513)).cumsum(1) * 0.05)
    response = minimum_phase(gains, MEL)
    np.testing.assert_allclose(np.abs(response), gains, rtol=1e-4)
    sound = np.fft.irfft(response) ** 2
    zero = np.roll(np.fft.irfft(gains), 512, axis=1) ** 2
    assert (sound[:, :100].sum(1) / sound.sum(1) > zero[:, :100].sum(1) / zero.sum(1)).all()


def test_pulses_carry_their_phase_across_calls() -> None:
    hertz = np.r_[np.full(5, 100.0), np.zeros(2), np.full(4, 133.0)]
    whole, end = pulses(hertz, 0.3, MEL)
    first, middle = pulses(hertz[:4], 0.3, MEL)
    second, last = pulses(hertz[4:], middle, MEL)
    np.testing.assert_allclose(np.append(first, second), whole, atol=1e-4)
    assert last == pytest.approx(end)
    assert not whole[5 * 320 : 7 * 320].any()


def test_an_empty_vocoder_says_nothing() -> None:
    assert len(Vocoder(MEL).flush()) == 0
