"""Splits of a table with many labels a row, each label shared out as the table is (Sechidis et al. 2011, figure 1).

The rarest label is shared out first: whoever still wants most of it gets its rows, and what they bring of other labels
is taken off what is wanted. A random split can leave a rare label out of the held-out rows; this one does not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lib.errors import BookError


def stratified_split(
    labels: np.ndarray, shares: Sequence[float] = (0.8, 0.2), *, generator: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """The rows of each part, ascending, one array per share.

    labels: bool [n, L]. The sizes of the parts follow the labels and can miss n * share by a few rows. Rows are visited
    in an order that the generator draws, and it breaks ties. Rows without a label go where rows are wanted most.
    Raises BookError for labels that are not a bool matrix, and for shares that are not positive or do not sum to 1.
    Chapter 04, a map of our own.
    """
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype != bool or not len(labels):
        raise BookError(f"labels are {labels.dtype} {labels.shape}; give a bool matrix [rows, labels] with rows")
    share = np.asarray(shares, dtype=float)
    if share.ndim != 1 or not (share > 0).all() or abs(share.sum() - 1) > 1e-9:
        raise BookError(f"shares={tuple(shares)}; give positive shares that sum to 1")
    order = generator.permutation(len(labels))
    part = np.full(len(labels), -1)
    wanted_rows = share * len(labels)
    wanted = share[:, None] * labels.sum(axis=0)
    while True:
        counts = labels[part < 0].sum(axis=0)
        if not counts.any():
            break
        rarest = generator.choice(np.flatnonzero(counts == counts[counts > 0].min()))
        for row in order[(part[order] < 0) & labels[order, rarest]]:
            part[row] = hungriest(wanted[:, rarest], wanted_rows, generator)
            wanted[part[row], labels[row]] -= 1
            wanted_rows[part[row]] -= 1
    for row in order[part[order] < 0]:
        part[row] = hungriest(wanted_rows, wanted_rows, generator)
        wanted_rows[part[row]] -= 1
    return tuple(np.flatnonzero(part == number) for number in range(len(share)))


def hungriest(wanted: np.ndarray, wanted_rows: np.ndarray, generator: np.random.Generator) -> int:
    """The part that wants a label most; among equals the one that wants rows most, then any of them."""
    equal = np.flatnonzero(wanted == wanted.max())
    equal = equal[wanted_rows[equal] == wanted_rows[equal].max()]
    return int(equal[0] if len(equal) == 1 else generator.choice(equal))
