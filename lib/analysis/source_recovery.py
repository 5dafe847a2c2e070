"""How well sources, maps and bands are recovered when the truth is known (chapter 03, "Build it" and "The bridge").

Maps are compared up to sign and scale, which no blind method can know; components up to their order as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lib.errors import BookError

REGIONS = ("central", "temporal", "frontal", "posterior")


def amari_index(product: np.ndarray) -> float:
    """How far a product of unmixing and mixing [S, K] is from a scaled permutation: 0 perfect, 1 no structure at all.

    Amari, Cichocki and Yang 1996, divided by its largest value. Raises BookError for a product with an empty row or
    column, or smaller than 2 x 2.
    """
    size = np.abs(np.asarray(product, dtype=float))
    if size.ndim != 2 or min(size.shape) < 2:
        raise BookError(f"the product has shape {size.shape}; give unmixing times mixing, at least 2 x 2")
    rows, columns = size.max(axis=1), size.max(axis=0)
    if not (rows.all() and columns.all()):
        raise BookError("a row or column of the product is zero; a source that nothing finds has no index")
    excess = (size.sum(axis=1) / rows - 1).sum() + (size.sum(axis=0) / columns - 1).sum()
    return float(excess / (size.shape[0] * (size.shape[1] - 1) + size.shape[1] * (size.shape[0] - 1)))


def pattern_similarity(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Absolute cosine between every found map [S, C] and every true one [K, C]: float64 [S, K]; one map may be [C]."""
    found, true = np.atleast_2d(found), np.atleast_2d(true)
    if found.shape[1] != true.shape[1]:
        raise BookError(f"maps have {found.shape[1]} and {true.shape[1]} channels; compare like with like")
    return np.abs(_unit(found) @ _unit(true).T)


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows, dtype=float), where=lengths > 0)


def plane_similarity(pattern: np.ndarray, maps: np.ndarray) -> float:
    """Cosine of the angle between a map [C] and the plane that some true maps [K, C] span, K < C: 1 inside it.

    For a pattern that may be any mixture of sources which act alike, as both motor cortices. A random map has about
    sqrt(K / C). Raises BookError for a flat map or other shapes.
    """
    pattern, maps = np.asarray(pattern, dtype=float), np.atleast_2d(maps)
    if pattern.shape != maps.shape[1:] or not len(maps) < maps.shape[1] or not pattern.any():
        raise BookError(
            f"a map of shape {pattern.shape} against maps {maps.shape}; give [C] not flat, and [K, C], K < C"
        )
    basis = np.linalg.qr(maps.T)[0]
    return float(np.linalg.norm(basis.T @ pattern) / np.linalg.norm(pattern))


def matched(similarity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair each true source with its own found one, for the largest sum: (similarities [K], indices of found [K]).

    similarity [S, K], with S >= K. Raises BookError when there are too few found.
    """
    from scipy.optimize import linear_sum_assignment

    if similarity.shape[0] < similarity.shape[1]:
        raise BookError(f"{similarity.shape[0]} found for {similarity.shape[1]} true sources; find at least as many")
    sources, found = linear_sum_assignment(-similarity.T)
    return similarity[found, sources], found


def regions(positions: np.ndarray) -> np.ndarray:
    """The region of each electrode, an index into REGIONS [C]. positions [C, 3]: right, front, up, in any unit.

    Electrodes are put on the unit sphere around the centre that fits them best. Temporal: low on either side, as F7, T7
    and P7. Central: the strip across the vertex, from FC5 and CP5 to FC6 and CP6. Frontal and posterior: the rest.
    """
    positions = np.asarray(positions, dtype=float)
    if positions.ndim != 2 or positions.shape[1] != 3 or len(positions) < 4 or not np.isfinite(positions).all():
        raise BookError(f"positions have shape {positions.shape}; give finite [C, 3] of at least 4 electrodes")
    table = np.column_stack([2 * positions, np.ones(len(positions))])
    centre = np.linalg.lstsq(table, (positions**2).sum(axis=1), rcond=None)[0][:3]
    right, front, up = _unit(positions - centre).T
    central = (np.abs(front) < 0.5) & (up > 0.25)
    temporal = ~central & (np.abs(right) > 0.75)
    frontal = ~central & ~temporal & (front > 0)
    return np.select([central, temporal, frontal], [0, 1, 2], default=3)


def topography(pattern: np.ndarray, positions: np.ndarray) -> dict[str, float]:
    """The share of a map's energy in each region, by name; they sum to 1. pattern [C]; positions [C, 3].

    A map that is equal everywhere gives each region its share of electrodes: compare with that, not with 0.
    """
    energy = np.asarray(pattern, dtype=float) ** 2
    where = regions(positions)
    if energy.shape != where.shape or not energy.sum() > 0:
        raise BookError(
            f"the map has shape {energy.shape} for {len(where)} electrodes, or is flat; give one value each"
        )
    return {name: float(energy[where == index].sum() / energy.sum()) for index, name in enumerate(REGIONS)}


@dataclass(frozen=True)
class BandError:
    """What a found band misses: Hz between centres, mean Hz between edges; overlap: shared over joint width."""

    centre: float
    edges: float
    overlap: float


def band_error(found: tuple[float, float], true: tuple[float, float]) -> BandError:
    """Compare two bands (low, high) in Hz."""
    for low, high in (found, true):
        if not low < high:
            raise BookError(f"band {low:g} to {high:g} Hz is empty; give low < high")
    edges = np.abs(np.subtract(found, true))
    shared = max(0.0, min(found[1], true[1]) - max(found[0], true[0]))
    joint = max(found[1], true[1]) - min(found[0], true[0])
    return BandError(float(abs(sum(found) - sum(true)) / 2), float(edges.mean()), float(shared / joint))


@dataclass(frozen=True)
class Dictionary:
    """How a linear dictionary describes a mixture of known sources.

    maps: mean similarity of true maps and their own atoms. courses: mean absolute correlation of true time courses
    and the codes of those atoms. active: mean share of atoms that are not zero at a moment. kurtosis: mean excess
    kurtosis of codes. explained: share of the mixture's variance that codes times atoms give back. dead: share of
    atoms whose code never moves.
    """

    maps: float
    courses: float
    active: float
    kurtosis: float
    explained: float
    dead: float


def describe(
    mixture: np.ndarray,
    codes: np.ndarray,
    atoms: np.ndarray,
    sources: np.ndarray,
    maps: np.ndarray,
    *,
    offset: np.ndarray | float = 0.0,
) -> Dictionary:
    """Score codes [T, S] and atoms [S, C] of a mixture [T, C] against sources [T, K] and maps [K, C].

    offset [C]: what is added to codes @ atoms to rebuild the mixture. Chapter 03, "The bridge".
    """
    from scipy.stats import kurtosis

    similarity, own = matched(pattern_similarity(atoms, maps))
    moving = codes.std(axis=0) > 0
    standard = _unit((codes - codes.mean(axis=0)).T)
    truth = _unit((sources - sources.mean(axis=0)).T)
    courses = np.abs(np.sum(standard[own] * truth, axis=1))
    rest = mixture - codes @ atoms - offset
    return Dictionary(
        maps=float(similarity.mean()),
        courses=float(courses.mean()),
        active=float((codes != 0).mean()),
        kurtosis=float(kurtosis(codes[:, moving], axis=0).mean()),
        explained=float(1 - rest.var() / (mixture - mixture.mean(axis=0)).var()),
        dead=float(1 - moving.mean()),
    )
