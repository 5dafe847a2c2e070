"""Thousands of spectra parameterised at once, for nulls, scalp maps and simulations (chapter 03, "The idea").

The steps are those of Donoghue et al. 2020, each done for all spectra in one array operation: a line; a second line
through the points that do not rise above the first; peaks read off the highest point, one after another; their joint
least-squares fit; a last line through what the peaks leave. One spectrum at a time, specparam spends its time in two
general optimisers. Here a line has a closed form, and the Gaussians take damped Gauss-Newton steps together.
Its exponents agree with specparam's (a test and G12 of the bench say how closely). For one spectrum use `peaks`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lib.analysis.spectra import LOWEST_PEAK, STANDARD_DEVIATIONS, WIDTHS, inside

STEPS = 12  # of Gauss-Newton; later ones move exponents by less than a thousandth
DAMPING = 1e-3  # of the diagonal of the normal equations, at first
OVERLAP = 0.75  # standard deviations within which two neighbouring peaks are one
REACH = 3.0  # standard deviations by which a centre may move from where it was read off


@dataclass(frozen=True)
class Screened:
    """N parameterised spectra: offsets, exponents [N]; peaks [N, P, 3] as in Spectrum, NaN where there is none."""

    offsets: np.ndarray
    exponents: np.ndarray
    peaks: np.ndarray


def screen(freqs: np.ndarray, psd: np.ndarray, *, span: tuple[float, float] = (3.0, 40.0), most: int = 6) -> Screened:
    """Parameterise spectra [N, F] (power): lines and at most `most` peaks each, within `span` Hz.

    Raises BookError for spectra that hold no positive power or too few frequencies there.
    """
    freqs, psd = inside(freqs, np.atleast_2d(psd), span)
    log_freqs, log_power = np.log10(freqs), np.log10(psd)
    even = np.ones_like(log_power)
    first = _above(log_freqs, log_power, *line(log_freqs, log_power, even))
    flat = _above(log_freqs, log_power, *line(log_freqs, log_power, (first <= 0).astype(float)))
    guesses = _read_off(freqs, flat, most)
    kept = _keep(freqs, guesses)
    found, rest, counts = np.full_like(guesses, np.nan), log_power.copy(), kept.sum(axis=1)
    for count in np.unique(counts[counts > 0]):  # spectra with equally many peaks are fitted together
        rows = np.flatnonzero(counts == count)
        fitted = _refine(freqs, flat[rows], guesses[rows][kept[rows]].reshape(-1, count, 3))
        rest[rows] -= _gaussians(freqs, fitted).sum(axis=1)
        found[rows, :count] = fitted * [1.0, 2.0, 1.0]
    order = np.argsort(found[..., 0], axis=1)  # NaN last
    return Screened(*line(log_freqs, rest, even), np.take_along_axis(found, order[..., None], axis=1))


def line(log_freqs: np.ndarray, log_power: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted least squares of N lines at once: (offsets [N], exponents [N]).

    log_freqs [F]; log_power, weights [N, F]. The model is log_power = offset - exponent * log_freqs.
    """
    total = weights.sum(axis=1)
    middle = weights @ log_freqs / total
    level = np.einsum("nf,nf->n", weights, log_power) / total
    spread = weights @ log_freqs**2 / total - middle**2
    product = np.einsum("nf,nf->n", weights * log_freqs, log_power) / total - middle * level
    slope = product / spread
    return level - slope * middle, -slope


def _above(log_freqs: np.ndarray, log_power: np.ndarray, offsets: np.ndarray, exponents: np.ndarray) -> np.ndarray:
    """What rises above lines, [N, F]."""
    return log_power - offsets[:, None] + exponents[:, None] * log_freqs


def _gaussians(freqs: np.ndarray, params: np.ndarray) -> np.ndarray:
    """Bumps [N, P, F] of params [N, P, 3]: centre, standard deviation, height."""
    centre, deviation, height = (params[..., index, None] for index in range(3))
    return height * np.exp(-((freqs - centre) ** 2) / (2 * deviation**2))


def _read_off(freqs: np.ndarray, flat: np.ndarray, most: int) -> np.ndarray:
    """Guesses [N, most, 3] of peaks, highest first; height 0 where none stands out any more."""
    guesses = np.tile([freqs[0], WIDTHS[0] / 2, 0.0], (len(flat), most, 1))
    rest, rows, open_ = flat.copy(), np.arange(len(flat)), np.ones(len(flat), dtype=bool)
    for index in range(most):
        top = rest.argmax(axis=1)
        height = rest[rows, top]
        open_ &= height > np.maximum(STANDARD_DEVIATIONS * rest.std(axis=1), LOWEST_PEAK)
        if not open_.any():
            break
        guess = np.column_stack([freqs[top], _deviation(rest, top, height, freqs[1] - freqs[0]), height])
        guesses[open_, index] = guess[open_]
        rest[open_] -= _gaussians(freqs, guess[open_, None])[:, 0]
    return guesses


def _deviation(rest: np.ndarray, top: np.ndarray, height: np.ndarray, step: float) -> np.ndarray:
    """Standard deviations (Hz) [N] of Gaussians as wide as the nearer side of the highest points at half height."""
    places, far = np.arange(rest.shape[1]), 2 * rest.shape[1]
    below = rest <= height[:, None] / 2
    right = np.where(below & (places > top[:, None]), places, far).min(axis=1) - top
    left = top - np.where(below & (places < top[:, None]), places, -far).max(axis=1)
    deviation = 2.0 * np.minimum(left, right) * step / (2 * np.sqrt(2 * np.log(2)))
    return np.clip(deviation, WIDTHS[0] / 2, WIDTHS[1] / 2)


def _keep(freqs: np.ndarray, guesses: np.ndarray) -> np.ndarray:
    """Which guesses [N, P] are peaks: not at the edge, and not the lower of two neighbours that overlap."""
    centre, deviation, height = np.moveaxis(guesses, -1, 0)
    kept = (height > 0) & (centre - freqs[0] > deviation) & (freqs[-1] - centre > deviation)
    order = np.argsort(np.where(kept, centre, np.inf), axis=1)
    low, high, tall, real = (
        np.take_along_axis(value, order, axis=1)
        for value in (centre - OVERLAP * deviation, centre + OVERLAP * deviation, height, kept)
    )
    clash = (high[:, :-1] > low[:, 1:]) & real[:, 1:]
    left_lower = tall[:, :-1] <= tall[:, 1:]
    real[:, :-1] &= ~(clash & left_lower)
    real[:, 1:] &= ~(clash & ~left_lower)
    np.put_along_axis(kept, order, real, axis=1)
    return kept


def _refine(freqs: np.ndarray, flat: np.ndarray, guesses: np.ndarray) -> np.ndarray:
    """Fit all peaks of each spectrum together: least squares within bounds, [N, P, 3]."""
    low, high = guesses.copy(), guesses.copy()
    low[..., 0] = np.maximum(guesses[..., 0] - REACH * guesses[..., 1], freqs[0])
    high[..., 0] = np.minimum(guesses[..., 0] + REACH * guesses[..., 1], freqs[-1])
    low[..., 1], high[..., 1] = WIDTHS[0] / 2, WIDTHS[1] / 2
    low[..., 2], high[..., 2] = 0.0, np.inf
    params, damping = guesses.copy(), np.full(len(flat), DAMPING)
    bumps = _gaussians(freqs, params)
    rest = flat - bumps.sum(axis=1)
    for _ in range(STEPS):
        trial = np.clip(params + _step(freqs, params, bumps, rest, damping), low, high)
        trial_bumps = _gaussians(freqs, trial)
        trial_rest = flat - trial_bumps.sum(axis=1)
        better = np.einsum("nf,nf->n", trial_rest, trial_rest) <= np.einsum("nf,nf->n", rest, rest)
        params[better], bumps[better], rest[better] = trial[better], trial_bumps[better], trial_rest[better]
        damping = np.where(better, damping / 3, damping * 10)
    return params


def _step(
    freqs: np.ndarray, params: np.ndarray, bumps: np.ndarray, rest: np.ndarray, damping: np.ndarray
) -> np.ndarray:
    """A damped Gauss-Newton step [N, P, 3]."""
    centre, deviation, height = (params[..., index, None] for index in range(3))
    gap = (freqs - centre) / deviation
    slopes = np.stack([bumps * gap / deviation, bumps * gap**2 / deviation, bumps / np.maximum(height, 1e-6)], axis=2)
    slopes = slopes.reshape(len(params), -1, len(freqs))
    normal = slopes @ slopes.swapaxes(1, 2)
    diagonal = np.einsum("npp->np", normal)
    diagonal *= 1 + damping[:, None]
    diagonal += 1e-9
    step = np.linalg.solve(normal, slopes @ rest[..., None])
    return step.reshape(params.shape)
