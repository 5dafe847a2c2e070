"""Null models: tables of points that keep some margins of the data and forget the rest (chapter 04, "The idea").

Every function takes a matrix [N, D] and a numpy Generator and returns a new matrix [N, D]. The order in which random
numbers are drawn is part of the protocol: the same seed gives the same null table as the audited analysis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from lib.errors import BookError

SWAPS_PER_ONE = 5
ATTEMPTS_PER_SWAP = 50
JITTER = 1e-9


def coordinate_permutation(matrix: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Shuffle each column on its own: keeps every column's values, forgets which row had them."""
    shuffled = np.empty_like(matrix)
    for column in range(matrix.shape[1]):
        shuffled[:, column] = generator.permutation(matrix[:, column])
    return shuffled


def bernoulli(bits: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Independent bits with each column's prevalence: keeps column means in expectation. Returns bool."""
    prevalence = np.asarray(bits, dtype=bool).mean(axis=0)
    return generator.binomial(1, prevalence, size=bits.shape).astype(bool)


def multinomial(counts: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Deal each row's total out over the columns by their overall share: keeps row sums exactly. Returns int64."""
    table = np.asarray(counts, dtype=np.int64)
    if table.size and table.min() < 0:
        raise BookError(f"a count of {table.min()} was given to the multinomial null: counts must be 0 or more")
    if table.sum() == 0:
        return np.zeros_like(table)
    return generator.multinomial(table.sum(axis=1), table.sum(axis=0) / table.sum())


def gaussian(matrix: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A Gaussian cloud with the mean and covariance of the data; eigenvalues clipped at 0, then a jitter of 1e-9."""
    table = np.asarray(matrix, dtype=float)
    values, vectors = np.linalg.eigh(np.cov(table, rowvar=False))
    spread = np.sqrt(np.clip(values, 0.0, None) + JITTER)
    return generator.standard_normal(table.shape) @ (vectors * spread).T + table.mean(axis=0)


def fixed_margin_swap(bits: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Random 2 x 2 swaps that keep every row sum and every column sum exactly. Returns bool.

    One attempt picks two rows, a bit that only the first has and a bit that only the second has, and exchanges them.
    It stops after 5 swaps per one in the table, or after 50 attempts per wanted swap.

    The plain form calls `generator.choice` three times an attempt. Here the same choices are computed from the same
    stream of 32-bit words (`bounded`), six times faster; a test compares the two tables bit by bit. The order inside
    a difference of two sets is the interpreter's, which for small whole numbers depends on the sets' history alone.
    """
    table = np.array(bits, dtype=bool)
    owned = [set(np.flatnonzero(row).tolist()) for row in table]
    wanted = max(SWAPS_PER_ONE * int(table.sum()), 1)
    attempts = ATTEMPTS_PER_SWAP * wanted
    if not table.any():
        return table
    if len(owned) < 2:
        raise BookError("a table of one row has nothing to swap: give the fixed-margin null at least two rows")
    words = stream(generator)
    swaps = 0
    while swaps < wanted and attempts:
        attempts -= 1
        first, second = pair(len(owned), words)
        left = list(owned[first] - owned[second])
        right = list(owned[second] - owned[first])
        if not left or not right:
            continue
        given, taken = left[bounded(len(left), words)], right[bounded(len(right), words)]
        owned[first].remove(given)
        owned[second].remove(taken)
        owned[first].add(taken)
        owned[second].add(given)
        swaps += 1
    table[:] = False
    for row, columns in enumerate(owned):
        table[row, list(columns)] = True
    return table


def stream(generator: np.random.Generator, block: int = 1 << 16) -> Iterator[int]:
    """An endless stream of the generator's 32-bit words, fetched in blocks."""
    while True:
        yield from generator.integers(0, 1 << 32, size=block, dtype=np.uint32).tolist()


def bounded(size: int, words: Iterator[int]) -> int:
    """A whole number in 0 ... size - 1 without bias (Lemire 2019), as numpy draws it. A size of 1 costs no word."""
    if size == 1:
        return 0
    product = next(words) * size
    low = product & 0xFFFFFFFF
    if low < size:
        floor = ((1 << 32) - size) % size
        while low < floor:
            product = next(words) * size
            low = product & 0xFFFFFFFF
    return product >> 32


def pair(size: int, words: Iterator[int]) -> tuple[int, int]:
    """Two different whole numbers in 0 ... size - 1, as numpy's choice without replacement draws them (Floyd's way)."""
    first = bounded(size - 1, words)
    second = bounded(size, words)
    if second == first:
        second = size - 1
    return (second, first) if bounded(2, words) == 0 else (first, second)


NULLS: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "fixed_margin_swap": fixed_margin_swap,
    "bernoulli": bernoulli,
    "coordinate_permutation": coordinate_permutation,
    "multinomial": multinomial,
    "gaussian": gaussian,
}


def draw_null(name: str, matrix: np.ndarray, seed: int) -> np.ndarray:
    """One table [N, D] from a null model of NULLS, from a fresh generator seeded with `seed`."""
    if name not in NULLS:
        raise BookError(f"unknown null model {name!r}: choose one of {', '.join(NULLS)}")
    return NULLS[name](matrix, np.random.default_rng(seed))
