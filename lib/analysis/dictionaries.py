"""A mixture with known sources, and the dictionaries that two old methods find in it (chapter 03, "The bridge").

Independent component analysis unmixes channels; a sparse autoencoder unmixes activations. Both write a signal as codes
times atoms. What differs is what each assumes: independence without a Gaussian shape and no more sources than channels,
or few sources active at a time. The mixture turns exactly these two screws, so that the analogy can be tested.
`lib.analysis.describe` scores any dictionary, a sparse autoencoder's too.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lib.analysis.source_recovery import Dictionary, describe
from lib.errors import BookError

if TYPE_CHECKING:
    from lib.models.sparse_autoencoder import TopKSAE

ROUNDS = 500
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Mixture:
    """signals [T, C] = sources [T, K] @ maps [K, C] + noise. Maps have length 1, sources variance 1."""

    signals: np.ndarray
    sources: np.ndarray
    maps: np.ndarray


def sparse_mixture(
    channels: int, sources: int, moments: int, *, active: float = 1.0, noise: float = 0.05, seed: int = 0
) -> Mixture:
    """Independent Laplace sources, each active at a random share of moments, on random maps.

    active: that share; 1 leaves plain Laplace sources, always on. noise: standard deviation in each channel.
    Raises BookError for a share outside (0, 1] or an empty mixture.
    """
    if not 0 < active <= 1 or min(channels, sources, moments) < 2:
        raise BookError(
            f"active={active:g} of {sources} sources in {channels} channels; give a share in (0, 1] and 2 or more"
        )
    generator = np.random.default_rng(seed)
    maps = generator.normal(size=(sources, channels))
    maps /= np.linalg.norm(maps, axis=1, keepdims=True)
    courses = generator.laplace(size=(moments, sources)) * (generator.random((moments, sources)) < active)
    courses /= np.sqrt(2 * active)
    return Mixture(courses @ maps + noise * generator.normal(size=(moments, channels)), courses, maps)


def independent_components(signals: np.ndarray, count: int, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """FastICA of signals [T, C]: (codes [T, S], atoms [S, C]), with S at most `count` and at most C.

    codes @ atoms plus the mean of the signals gives back what the components hold.
    """
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    count = min(count, signals.shape[1])
    ica = FastICA(count, whiten="unit-variance", max_iter=ROUNDS, tol=TOLERANCE, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        codes = ica.fit_transform(signals)
    return codes, ica.mixing_.T


def principal_components(signals: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The control that assumes nothing but variance: (codes [T, S], atoms [S, C]), S at most `count` and at most C."""
    centred = signals - signals.mean(axis=0)
    atoms = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :count].T
    return centred @ atoms.T, atoms


def padded(codes: np.ndarray, atoms: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """A dictionary of at least `count` atoms: empty ones, of code 0, stand for sources without an atom of their own."""
    missing = max(0, count - len(atoms))
    return np.pad(codes, ((0, 0), (0, missing))), np.pad(atoms, ((0, missing), (0, 0)))


def folded(codes: np.ndarray, atoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join pairs of atoms that point in opposite directions: (codes, atoms) with one signed atom for each such pair.

    A code that cannot be negative, such as a rectified one, needs two atoms for a source with two signs. The most
    opposite pairs join first, each atom once, as long as their cosine is below -0.9; the joint atom is the first one's.
    """
    lengths = np.linalg.norm(atoms, axis=1, keepdims=True)
    unit = np.divide(atoms, lengths, out=np.zeros_like(atoms, dtype=float), where=lengths > 0)
    cosines = np.triu(unit @ unit.T, 1)
    partner, taken = {}, set()
    for index in np.argsort(cosines, axis=None):
        first, second = (int(place) for place in divmod(int(index), len(atoms)))
        if cosines[first, second] > -0.9:
            break
        if first not in taken and second not in taken:
            partner[first] = second
            taken |= {first, second}
    kept = [index for index in range(len(atoms)) if index not in partner.values()]
    signed = codes[:, kept] * lengths[kept, 0]
    for column, index in enumerate(kept):
        if index in partner:
            signed[:, column] -= codes[:, partner[index]] * lengths[partner[index], 0]
    return signed, unit[kept]


def of_autoencoder(model: TopKSAE, signals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a trained sparse autoencoder makes of signals [T, C]: (codes [T, S], atoms [S, C], offset [C]), folded."""
    import torch

    with torch.no_grad():
        code = model.encode(torch.as_tensor(signals, dtype=torch.float32))
    codes = np.zeros((len(signals), len(model.decoder)))
    np.put_along_axis(codes, code.features.numpy(), code.values.numpy().astype(float), axis=1)
    atoms, offset = (part.detach().numpy().astype(float) for part in (model.decoder, model.decoder_bias))
    return *folded(codes, atoms), offset


def score(mixture: Mixture, codes: np.ndarray, atoms: np.ndarray, offset: np.ndarray | None = None) -> Dictionary:
    """`describe` for a mixture; sources beyond the atoms count as not found. offset: by default the signals' mean."""
    codes, atoms = padded(codes, atoms, len(mixture.maps))
    offset = mixture.signals.mean(axis=0) if offset is None else offset
    return describe(mixture.signals, codes, atoms, mixture.sources, mixture.maps, offset=offset)
