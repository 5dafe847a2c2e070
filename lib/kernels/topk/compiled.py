"""The row work of a TopK autoencoder in compiled C, for a CPU: the same three functions as `rows.py`.

The dense product that finds the k largest is torch's own, a tile of features at a time.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from lib.errors import BookError
from lib.kernels.row_calls import over_rows, refusal
from lib.kernels.topk.rows_c import SOURCE

TILE_BYTES = 1 << 22  # products kept at once: they are read back from the cache


@functools.cache
def why_not() -> str | None:
    """Why the compiled functions cannot be used on this machine, or None. The first call may build them (1 s)."""
    return refusal(SOURCE)


def largest(x: Tensor, encoder: Tensor, bias: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of relu(x encoder^T + bias): values and indices, [N, k]; of equals the lower index."""
    x, encoder, bias = x.contiguous(), encoder.contiguous(), bias.contiguous()
    rows, features = len(x), len(encoder)
    values = x.new_full((rows, k), -1.0)
    indices = torch.full((rows, k), features)
    wide = max(64, TILE_BYTES // (max(rows, 1) * x.element_size()) // 64 * 64)
    space = x.new_empty(rows * min(wide, features))
    for start in range(0, features, wide):
        part = encoder[start : start + wide]
        product = torch.mm(x, part.T, out=space[: rows * len(part)].view(rows, len(part)))
        tensors = (product, bias[start : start + wide], values, indices)
        over_rows(SOURCE, "topk_scan", rows, product.numel(), (len(part), k, start), tensors)
    over_rows(SOURCE, "topk_sort", rows, values.numel(), (k,), (values, indices))
    return values, indices


def row_sums(weights: Tensor, indices: Tensor, table: Tensor) -> Tensor:
    """[N, D]: for every n the sum over j of weights[n, j] table[indices[n, j]]."""
    (rows, k), (features, width) = indices.shape, table.shape
    out = table.new_empty(rows, width)
    tensors = (weights.contiguous(), indices.contiguous(), table.contiguous(), out)
    if over_rows(SOURCE, "row_sums", rows, rows * k * width, (k, width, features), tensors):
        raise _outside(indices, features)
    return out


def row_gradients(
    weights: Tensor, indices: Tensor, table: Tensor, vectors: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of sum_n vectors[n] . row_sums(weights, indices, table)[n] for weights [N, k] and table [F, D]."""
    (rows, k), (features, width) = indices.shape, table.shape
    weights, indices, table, vectors = (each.contiguous() for each in (weights, indices, table, vectors))
    starts, order = indices.new_zeros(features + 1), torch.empty_like(indices)
    if over_rows(SOURCE, "topk_order", 1, 0, (indices.numel(), features), (weights, indices, starts, order)):
        raise _outside(indices, features)
    found = tuple(torch.empty_like(each) if want else None for each, want in zip((weights, table), wanted, strict=True))
    if found[1] is not None:
        over_rows(SOURCE, "large_pages", 1, 0, (found[1].nbytes,), (found[1],))
    tensors = (weights, table, vectors, starts, order, *found)
    over_rows(SOURCE, "row_gradients", features, rows * k * width, (k, width), tensors)
    return found


def _outside(indices: Tensor, features: int) -> BookError:
    return BookError(f"indices from {int(indices.min())} to {int(indices.max())} for {features} rows; give 0 and on")
