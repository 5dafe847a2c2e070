"""From mel frames and pitch back to samples: a pulse train and noise, shaped until their bands match.

Griffin and Lim's way, which guesses all phases from magnitudes, is here to be compared with: it loses the voice,
because 64 bands do not hold the harmonics. A pulse train has them, and a minimum-phase filter lets each pulse decay.
What is left out of WORLD or of a neural vocoder: measured aperiodicity. Breath rises with frequency, always alike.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from lib.models.log_mel import MelConfig, filterbank, hann

LOUDEST_GAIN = 60.0  # of a source in a bin: what keeps an empty band from exploding


@cache
def interpolation(config: MelConfig) -> np.ndarray:
    """Weights [window / 2 + 1, bands] that spread a value per band over the bins, each row of sum one."""
    centres = filterbank(config) / filterbank(config).max(1, keepdims=True)
    weights = np.maximum(centres.T, 0)
    silent = weights.sum(1) == 0
    weights[silent, np.where(np.flatnonzero(silent) < len(weights) // 2, 0, config.bands - 1)] = 1
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


@cache
def breath(config: MelConfig) -> np.ndarray:
    """Share of noise [window / 2 + 1] in the magnitude of a voiced frame: none below 3 kHz, most above 8 kHz."""
    hertz = np.fft.rfftfreq(config.window, 1 / config.rate)
    return np.clip((hertz - 3_000) / 6_500, 0, 0.8).astype(np.float32)


def pulses(hertz: np.ndarray, phase: float, config: MelConfig) -> tuple[np.ndarray, float]:
    """A band-limited pulse train [frames * hop] of the pitch [frames], and the phase it ends at.

    Each pulse is sum_k cos(k phi) over the harmonics below 0.45 of the rate, in closed form (a Dirichlet kernel). A
    pitch of 0 gives silence and leaves the phase where it was.
    """
    each = np.repeat(hertz, config.hop)
    angle = phase + 2 * np.pi * np.cumsum(each) / config.rate
    harmonics = np.floor(0.45 * config.rate / np.maximum(each, 1.0))
    half = np.sin(angle / 2)
    near = np.abs(half) < 1e-4
    kernel = np.sin((harmonics + 0.5) * angle) / np.where(near, 1, 2 * half) - 0.5
    train = np.where(near, harmonics, kernel) / np.sqrt(np.maximum(harmonics, 1))
    return np.where(each > 0, train, 0).astype(np.float32), float(angle[-1] % (2 * np.pi)) if len(angle) else phase


def matched(source: np.ndarray, target: np.ndarray, config: MelConfig) -> np.ndarray:
    """Gains [frames, bins] that give a source spectrum [frames, bins] the mel magnitudes target [frames, bands]."""
    gains = np.ones_like(source)
    bank = filterbank(config).T.astype(np.float32)
    for _ in range(2):
        ratio = target / np.maximum((source * gains) @ bank, 1e-6)
        gains = gains * np.exp(np.log(np.maximum(ratio, 1e-8)) @ interpolation(config).T)
    return np.minimum(gains, LOUDEST_GAIN)


def minimum_phase(gains: np.ndarray, config: MelConfig) -> np.ndarray:
    """The minimum-phase response [frames, bins], complex, with these magnitudes: its cepstrum folded to one side."""
    cepstrum = np.fft.irfft(np.log(np.maximum(gains, 1e-6)))
    fold = np.zeros(config.window, np.float32)
    fold[0] = fold[config.window // 2] = 1
    fold[1 : config.window // 2] = 2
    return np.exp(np.fft.rfft(cepstrum * fold))


def shaped(
    buzz: np.ndarray, hiss: np.ndarray, log_mel: np.ndarray, voiced: np.ndarray, config: MelConfig
) -> np.ndarray:
    """Windowed output frames [frames, window] from windows of pulses and of noise, mel frames and a voicing flag."""
    taper = (hann(config.window) * 2 / config.window).astype(np.float32)
    target = np.exp(log_mel).astype(np.float32)
    noise = np.fft.rfft(hiss * taper)
    air = np.where(voiced[:, None], breath(config), 1).astype(np.float32)
    spectrum = air * noise * matched(np.abs(noise).astype(np.float32), target, config)
    if voiced.any():
        tone = np.fft.rfft(buzz[voiced] * taper)
        magnitude = np.abs(tone).astype(np.float32)
        gains = matched(magnitude, target[voiced], config)
        spectrum[voiced] += np.sqrt(1 - breath(config) ** 2) * tone * minimum_phase(gains, config)
    return np.fft.irfft(spectrum, config.window) * hann(config.window) * config.window / 2


class Vocoder:
    """Turns frames into samples as they come; `push` all at once, or frame by frame, gives the same samples.

    Source: after Morise et al., WORLD (2016), section 2, with mel bands for the envelope. Used by chapters 09 and 10.
    """

    def __init__(self, config: MelConfig, seed: int = 0) -> None:
        self.config = config
        self.generator = np.random.default_rng(seed)
        self.phase = 0.0
        self.buzz = self.hiss = np.zeros(config.lead, np.float32)
        self.waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self.sum = np.zeros(config.window)
        self.weight = np.zeros(config.window)
        self.skip = config.lead
        self.due = 0

    def push(self, log_mel: np.ndarray, hertz: np.ndarray) -> np.ndarray:
        """Take in mel frames [t, bands] and their pitch [t]; return the samples that are certain now."""
        train, self.phase = pulses(hertz, self.phase, self.config)
        noise = self.generator.standard_normal(len(train)).astype(np.float32)
        self.buzz, self.hiss = np.append(self.buzz, train), np.append(self.hiss, noise)
        self.waiting += list(zip(log_mel, hertz, strict=True))
        self.due += len(train)
        return self._ready()

    def flush(self) -> np.ndarray:
        """The last samples, as if silence followed; afterwards the vocoder has said all it was given."""
        silence = np.zeros(self.config.window, np.float32)
        self.buzz, self.hiss = np.append(self.buzz, silence), np.append(self.hiss, silence)
        due = self.due
        wave = self._ready()
        tail = self.sum / np.maximum(self.weight, 1e-3)
        return np.append(wave, tail[self.skip :])[:due]

    def _ready(self) -> np.ndarray:
        config = self.config
        count = min(len(self.waiting), max(0, 1 + (len(self.buzz) - config.window) // config.hop))
        if not count:
            return np.zeros(0)
        mel, hertz = (np.array(part) for part in zip(*self.waiting[:count], strict=True))
        windows = [
            np.lib.stride_tricks.sliding_window_view(part, config.window)[:: config.hop][:count]
            for part in (self.buzz, self.hiss)
        ]
        frames = shaped(*windows, mel, hertz > 0, config)
        del self.waiting[:count]
        self.buzz, self.hiss = self.buzz[count * config.hop :], self.hiss[count * config.hop :]
        return self._overlap(frames)

    def _overlap(self, frames: np.ndarray) -> np.ndarray:
        config, said = self.config, []
        power = hann(config.window) ** 2
        for frame in frames:
            self.sum += frame
            self.weight += power
            said.append(self.sum[: config.hop] / np.maximum(self.weight[: config.hop], 1e-3))
            for total in (self.sum, self.weight):
                total[: -config.hop] = total[config.hop :]
                total[-config.hop :] = 0
        wave = np.concatenate(said)
        skipped = min(self.skip, len(wave))
        self.skip -= skipped
        self.due -= len(wave) - skipped
        return wave[skipped:]


def griffin_lim(log_mel: np.ndarray, config: MelConfig, *, iterations: int = 60, seed: int = 0) -> np.ndarray:
    """Samples [frames * hop] whose magnitudes are the bands spread over the bins, phases by fast Griffin-Lim.

    Source: Perraudin et al., A fast Griffin-Lim algorithm (2013), with their momentum of 0.99. Used by chapter 10.
    """
    magnitude = np.exp(log_mel @ interpolation(config).T.astype(np.float64)) * config.window / 2
    rng = np.random.default_rng(seed)
    phase = np.exp(2j * np.pi * rng.random(magnitude.shape))
    before = np.zeros_like(phase)
    for _ in range(iterations):
        after = transform(overlap_add(magnitude * phase, config), len(magnitude), config)
        guess = after + 0.99 * (after - before)
        phase, before = guess / np.maximum(np.abs(guess), 1e-9), after
    wave = overlap_add(magnitude * phase, config)
    return wave[config.lead : config.lead + len(magnitude) * config.hop]


def overlap_add(spectrum: np.ndarray, config: MelConfig) -> np.ndarray:
    """Spectra [frames, bins] -> samples [(frames - 1) * hop + window] nearest to them."""
    frames = np.fft.irfft(spectrum, config.window) * hann(config.window)
    total = np.zeros((len(frames) - 1) * config.hop + config.window)
    weight = np.zeros_like(total)
    for i, frame in enumerate(frames):
        total[i * config.hop :][: config.window] += frame
        weight[i * config.hop :][: config.window] += hann(config.window) ** 2
    return total / np.maximum(weight, 1e-3)


def transform(wave: np.ndarray, frames: int, config: MelConfig) -> np.ndarray:
    """Samples -> spectra [frames, bins] under the Hann window."""
    windows = np.lib.stride_tricks.sliding_window_view(wave, config.window)[:: config.hop][:frames]
    return np.fft.rfft(windows * hann(config.window))
