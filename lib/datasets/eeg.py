"""A saccade stop-signal experiment on simulated heads: every source, band and mixing is known (chapter 03, "Build it").

Seven subjects with the alpha and beta bands that the post reports. Cortical sources are dipoles in mne's three-layer
spherical head, seen by the 32 electrodes of a real cap: a 1/f background, alpha, two motor beta sources, a frontal
theta source, and a beta source without a task. On a successful stop theta rises and motor beta falls. Blinks, temple
muscle, the eyes' own saccade, line noise and sensor noise come on top; sessions drift. Values are in microvolts,
average reference. Real heads differ more than these, which share one geometry up to small shifts: results across
subjects are optimistic.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lib.errors import BookError

ALPHA = {1: (11, 13), 2: (9, 13), 3: None, 4: (7, 10), 5: (5, 9), 6: (7, 13), 7: (8, 12)}  # Hz, the post's table
BETA = {1: (29, 32), 2: (15, 20), 3: (28, 32), 4: (13, 19), 5: (23, 28), 6: (17, 24), 7: (20, 25)}
THETA = (4.0, 7.0)  # Hz, textbook band; the post names theta and gives no band
NUISANCE = (14.0, 28.0)  # Hz, beta that does not take part in the task
RATE = 200.0
SECONDS = 2.0
LINE = 60.0  # Hz, mains where the post's recordings were made
BACKGROUND = 80  # dipoles

# Dipoles: position (right, front, up) in units of the head's radius from its centre. Cortex lies near 0.75.
SOURCES = {
    "alpha_left": (-0.25, -0.6, 0.35),
    "alpha_right": (0.25, -0.6, 0.35),
    "beta_left": (-0.5, 0.02, 0.52),
    "beta_right": (0.5, 0.02, 0.52),
    "theta": (0.0, 0.42, 0.58),
    "nuisance": (0.1, -0.4, 0.6),
    "blink": (0.0, 0.82, -0.12),
    "muscle_left": (-0.8, 0.2, -0.1),
    "muscle_right": (0.8, 0.2, -0.1),
    "saccade": (0.05, 0.8, -0.1),
}


@dataclass(frozen=True)
class Effects:
    """How strong things are. Amplitudes are standard deviations in microvolts at the electrode that sees them best."""

    background: float = 8.0
    """The 1/f background."""
    alpha: float = 5.0
    """Each alpha source."""
    beta: float = 1.8
    """Each motor beta source, on go trials."""
    theta: float = 2.5
    """The frontal theta source, on go trials."""
    nuisance: float = 2.5
    """Beta without a task."""
    beta_drop: float = 0.75
    """The share of motor beta amplitude that a successful stop takes away at its height."""
    theta_rise: float = 0.4
    """The share of theta amplitude that it adds."""
    restless: float = 0.2
    """Standard deviation over trials of the logarithm of every rhythm's amplitude."""
    blink: float = 60.0
    """The height of a blink."""
    blinks: float = 0.15
    """The share of trials with one, in both classes."""
    muscle: float = 2.0
    """Temple muscle, in both classes."""
    muscle_stop: float = 0.0
    """The share of muscle amplitude that a stop adds: a jaw that clenches."""
    saccade: float = 0.0
    """The eyes' own step on go trials; 0 when the window ends before the eyes move."""
    line: float = 1.0
    """Mains."""
    sensor: float = 0.5
    """White noise of each electrode."""
    drift: float = 0.06
    """From session to session: shift of the cap in head radii, and of the beta band as a share of its centre."""


@dataclass(frozen=True)
class Truth:
    """What was planted. names [K]; maps [K, C] (average reference); positions [K, 3] as in SOURCES; alpha, beta: bands
    in Hz or None; exponent: of the background's power; courses: {name: [n, T]} of the rhythms, without their maps."""

    names: tuple[str, ...]
    maps: np.ndarray
    positions: np.ndarray
    alpha: tuple[float, float] | None
    beta: tuple[float, float]
    exponent: float
    courses: dict[str, np.ndarray] = field(repr=False)


@dataclass(frozen=True)
class Recording:
    """epochs [n, C, T] in microvolts; labels [n], 1 for a successful stop; session [n]; rate in Hz; info of mne with
    the montage; truth of a simulation, None for real recordings."""

    epochs: np.ndarray
    labels: np.ndarray
    session: np.ndarray
    rate: float
    info: Any = field(repr=False)
    truth: Truth | None = None

    def part(self, rows: np.ndarray) -> Recording:
        """Some trials alone, by number or by truth value [n]; without the truth's time courses."""
        truth = self.truth and replace(self.truth, courses={})
        chosen = {name: getattr(self, name)[rows] for name in ("epochs", "labels", "session")}
        return replace(self, **chosen, truth=truth)

    @property
    def positions(self) -> np.ndarray:
        """Electrode positions [C, 3] in the head's coordinates: right, front, up."""
        return np.array([channel["loc"][:3] for channel in self.info["chs"]])


def simulate(
    subject: int,
    *,
    seed: int,
    sessions: int = 1,
    trials: int = 300,
    stop_share: float = 0.2,
    effects: Effects = Effects(),
    beta: tuple[float, float] | None = None,
) -> Recording:
    """One subject's recording: `trials` trials in all, spread evenly over sessions, `stop_share` of them stops.

    subject: 1 to 7 chooses the bands; seed: the head, the background and the trials of one study; beta: a band in Hz
    in place of the subject's own, on the same head and noise.
    Raises BookError for another subject, too few trials, a share outside (0, 1) or an empty band.
    """
    if subject not in BETA or not 0 < stop_share < 1 or trials < 10 * sessions or sessions < 1:
        raise BookError(
            f"subject={subject}, trials={trials}, sessions={sessions}, stop_share={stop_share:g}; "
            "give subject 1 to 7, a share in (0, 1) and 10 trials a session"
        )
    low, high = beta = tuple(map(float, beta or BETA[subject]))
    if not 0 < low < high < RATE / 2:
        raise BookError(f"beta band {low:g} to {high:g} Hz; give 0 < low < high < {RATE / 2:g}")
    generator = np.random.default_rng([seed, subject])
    parts = [len(part) for part in np.array_split(np.arange(trials), sessions)]
    exponent = float(generator.uniform(0.9, 1.6))
    shifts = 0.03 * generator.normal(size=(len(SOURCES), 3))
    spread = _inside_head(generator, BACKGROUND)
    made = [
        _session(index, count, subject, beta, stop_share, effects, exponent, shifts, spread, generator)
        for index, count in enumerate(parts)
    ]
    epochs, labels, courses = (
        np.concatenate([one[0] for one in made]),
        np.concatenate([one[1] for one in made]),
        {name: np.concatenate([one[2][name] for one in made]) for name in made[0][2]},
    )
    positions = np.array(list(SOURCES.values())) + shifts
    alpha = ALPHA[subject] and tuple(map(float, ALPHA[subject]))
    truth = Truth(tuple(SOURCES), made[0][3], positions, alpha, beta, exponent, courses)
    return Recording(epochs, labels, np.repeat(np.arange(sessions), parts), RATE, cap(), truth)


@functools.cache
def cap() -> Any:
    """mne's Info of the 32 electrodes, with their montage."""
    import mne

    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(list(montage.ch_names), RATE, "eeg", verbose="ERROR")
    info.set_montage(montage, verbose="ERROR")
    return info


@functools.cache
def _sphere() -> Any:
    """mne's three-layer spherical head around the cap, and its radius in metres: (model, centre [3], radius)."""
    import mne

    positions = np.array([channel["loc"][:3] for channel in cap()["chs"]])
    table = np.column_stack([2 * positions, np.ones(len(positions))])
    centre = np.linalg.lstsq(table, (positions**2).sum(axis=1), rcond=None)[0][:3]
    radius = float(np.linalg.norm(positions - centre, axis=1).mean())
    return mne.make_sphere_model(r0=centre, head_radius=radius, verbose="ERROR"), centre, radius


def scalp_maps(positions: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """What dipoles show on the scalp: maps [K, C], average reference, largest absolute value 1.

    positions [K, 3] in head radii from the centre (right, front, up), inside 0.9; directions [K, 3].
    """
    import mne

    model, centre, radius = _sphere()
    distance = np.linalg.norm(positions, axis=1)
    if distance.max() >= 0.9:
        raise BookError(f"a dipole lies at {distance.max():.2f} head radii; the brain ends at 0.9")
    dipoles = {"rr": centre + radius * positions, "nn": directions / np.linalg.norm(directions, axis=1, keepdims=True)}
    space = mne.setup_volume_source_space(pos=dipoles, verbose="ERROR")
    forward = mne.make_forward_solution(cap(), None, space, model, meg=False, mindist=0.0, verbose="ERROR")
    gain = forward["sol"]["data"].reshape(32, len(positions), 3)
    maps = np.einsum("ckd,kd->kc", gain, dipoles["nn"])
    maps = maps - maps.mean(axis=1, keepdims=True)
    return maps / np.abs(maps).max(axis=1, keepdims=True)


def _inside_head(generator: np.random.Generator, count: int) -> np.ndarray:
    """Random places [count, 3] in the brain's outer shell, above the skull's base."""
    places = generator.normal(size=(count, 3))
    places[:, 2] = np.abs(places[:, 2]) - 0.3
    return places / np.linalg.norm(places, axis=1, keepdims=True) * generator.uniform(0.4, 0.8, (count, 1))


def noise_with(power: np.ndarray, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Gaussian noise [..., T] of variance 1 whose spectrum is `power` at the T // 2 + 1 frequencies of an FFT."""
    size = shape[-1]
    white = generator.standard_normal((*shape[:-1], len(power), 2)) @ [1.0, 1.0j]
    signal = np.fft.irfft(white * np.sqrt(power), n=size)
    interior = power.copy()
    interior[[0, -1]] /= 2
    return signal * size / np.sqrt(4 * interior.sum())


def _session(
    index: int,
    trials: int,
    subject: int,
    beta: tuple[float, float],
    stop_share: float,
    effects: Effects,
    exponent: float,
    shifts: np.ndarray,
    spread: np.ndarray,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """One session: (epochs [n, C, T], labels [n], rhythms {name: [n, T]}, maps [K, C])."""
    samples = round(RATE * SECONDS)
    freqs, moments = np.fft.rfftfreq(samples, 1 / RATE), np.arange(samples) / RATE
    labels = np.zeros(trials, dtype=int)
    labels[generator.permutation(trials)[: max(2, round(stop_share * trials))]] = 1
    slip = effects.drift * generator.normal(size=3) if index else np.zeros(3)
    places = np.array(list(SOURCES.values())) + shifts + 0.5 * slip
    places *= np.minimum(1.0, 0.88 / np.linalg.norm(places, axis=1))[:, None]
    maps = dict(zip(SOURCES, scalp_maps(places, _directions(places)), strict=True))
    rhythms = _rhythms(
        subject, beta, labels, effects, freqs, moments, effects.drift * generator.normal() * bool(index), generator
    )
    courses = rhythms | _artefacts(labels, effects, freqs, moments, generator)
    epochs = np.zeros((trials, 32, samples))
    for name, course in courses.items():
        epochs += maps[name][:, None] * course[:, None]
    veil = scalp_maps(np.clip(spread + 0.5 * slip, -0.85, 0.85) * 0.98, spread)
    root = np.linalg.cholesky(veil.T @ veil + 1e-9 * np.eye(32))
    root *= effects.background / np.sqrt(np.mean(root**2) * 32)
    power = np.where(freqs > 0, np.maximum(freqs, 1.0) ** -exponent, 0.0)
    epochs += np.einsum("cd,ndt->nct", root, noise_with(power, epochs.shape, generator))
    phase = generator.uniform(0, 2 * np.pi, (trials, 1, 1))
    epochs += effects.line * generator.uniform(0.5, 1, (1, 32, 1)) * np.sin(2 * np.pi * LINE * moments + phase)
    epochs += effects.sensor * generator.standard_normal(epochs.shape)
    epochs -= epochs.mean(axis=1, keepdims=True)
    return epochs, labels, rhythms, np.stack([maps[name] for name in SOURCES])


def _directions(places: np.ndarray) -> np.ndarray:
    """Outward dipoles, but the eyes' ones: a blink's points up and forward, a saccade's to the right."""
    directions = places.copy()
    names = list(SOURCES)
    directions[names.index("blink")] = (0.0, 1.0, 0.6)
    directions[names.index("saccade")] = (1.0, 0.0, 0.0)
    return directions


def _rhythms(subject, band, labels, effects, freqs, moments, shift, generator) -> dict[str, np.ndarray]:
    """Time courses [n, T] of alpha, motor beta, theta and beta without a task. band, shift: of motor beta, in Hz and as
    a share of its centre."""

    def rhythm(where: tuple[float, float], amplitude: float) -> np.ndarray:
        centre, deviation = sum(where) / 2, (where[1] - where[0]) / 2
        power = np.exp(-((freqs - centre) ** 2) / (2 * deviation**2))
        louder = np.exp(effects.restless * generator.normal(size=(len(labels), 1)))
        return amplitude * louder * noise_with(power, (len(labels), len(moments)), generator)

    stop = labels[:, None]
    early, late = (np.exp(-((moments - middle) ** 2) / (2 * 0.25**2)) for middle in (0.6, 1.0))
    beta = tuple(edge + shift * sum(band) / 2 for edge in band)
    found = {"nuisance": rhythm(NUISANCE, effects.nuisance), "theta": rhythm(THETA, effects.theta)}
    found["theta"] *= 1 + effects.theta_rise * stop * early
    for side in ("left", "right"):
        found[f"beta_{side}"] = rhythm(beta, effects.beta) * (1 - effects.beta_drop * stop * late)
        if ALPHA[subject]:
            found[f"alpha_{side}"] = rhythm(ALPHA[subject], effects.alpha)
    return found


def _artefacts(labels, effects, freqs, moments, generator) -> dict[str, np.ndarray]:
    """Time courses [n, T] of blinks, temple muscle and the eyes' step."""
    count = len(labels)
    onset = generator.uniform(0.1, SECONDS - 0.3, (count, 1))
    blinking = generator.random((count, 1)) < effects.blinks
    found = {"blink": effects.blink * blinking * np.exp(-((moments - onset) ** 2) / (2 * 0.06**2))}
    power = 1 / (1 + np.exp(-(freqs - 25) / 4))
    for side in ("left", "right"):
        tension = np.exp(0.5 * generator.normal(size=(count, 1))) * (1 + effects.muscle_stop * labels[:, None])
        found[f"muscle_{side}"] = effects.muscle * tension * noise_with(power, (count, len(moments)), generator)
    latency = generator.normal(0.25, 0.04, (count, 1))
    step = effects.saccade * (labels[:, None] == 0) / (1 + np.exp(-(moments - latency) / 0.01))
    found["saccade"] = step * generator.choice([-1.0, 1.0], (count, 1))
    return found
