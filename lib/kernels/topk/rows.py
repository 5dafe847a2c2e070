"""The row work of a TopK autoencoder in plain torch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 32  # vectors whose rows are gathered at once: few enough to stay in the cache


def largest(x: Tensor, encoder: Tensor, bias: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of relu(x encoder^T + bias): values and indices, [N, k]."""
    return torch.addmm(bias, x, encoder.T).relu_().topk(k, dim=-1)


def row_sums(weights: Tensor, indices: Tensor, table: Tensor) -> Tensor:
    """[N, D]: for every n the sum over j of weights[n, j] table[indices[n, j]]."""
    return F.embedding_bag(indices, table, per_sample_weights=weights, mode="sum")


def row_gradients(
    weights: Tensor, indices: Tensor, table: Tensor, vectors: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of sum_n vectors[n] . row_sums(weights, indices, table)[n] for weights [N, k] and table [F, D]."""
    of_weights = row_products(table, indices, vectors) if wanted[0] else None
    of_table = add_rows(table, indices, weights, vectors) if wanted[1] else None
    return of_weights, of_table


def row_products(table: Tensor, indices: Tensor, vectors: Tensor) -> Tensor:
    """Inner products of each vector [N, D] with the rows of the table [F, D] that its indices [N, k] name, [N, k]."""
    found = vectors.new_empty(indices.shape)
    for start in range(0, len(indices), CHUNK):
        part = slice(start, start + CHUNK)
        found[part] = torch.bmm(table[indices[part]], vectors[part, :, None]).squeeze(2)
    return found


def add_rows(table: Tensor, indices: Tensor, weights: Tensor, vectors: Tensor) -> Tensor:
    """A gradient like the table [F, D]: at row indices[n, j], the sum of weights[n, j] vectors[n].

    Sorted by row, the pairs (n, j) of one row stand together, so that each row is a weighted sum of vectors of its own
    and is written once.
    """
    flat = indices.reshape(-1)
    order = flat.argsort(stable=True)
    ends = torch.bincount(flat, minlength=len(table)).cumsum(0)
    starts = torch.cat([ends.new_zeros(1), ends])
    return F.embedding_bag(
        order // indices.shape[1],
        vectors.contiguous(),
        starts,
        per_sample_weights=weights.reshape(-1)[order],
        mode="sum",
        include_last_offset=True,
    )
