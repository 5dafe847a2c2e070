"""The same two halves from the k rows that count: sums of rows forward, sums into rows backward.

Nothing is approximated. The dense decoder gradient A^T g, with A the [N, F] matrix of k values a row, has the row
sum over n of A[n, f] g[n] for every feature f that was used and zero elsewhere; `index_add_` forms just those sums.
For the encoder the same holds of the derivative of the k values that were kept: a top-k passes no gradient to others.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 32  # vectors whose rows are gathered at once: few enough to stay in the cache


class SparseDecode(torch.autograd.Function):
    """Rows of a decoder, weighted and added up."""

    @staticmethod
    def forward(ctx, values: Tensor, indices: Tensor, decoder: Tensor) -> Tensor:
        ctx.save_for_backward(values, indices, decoder)
        return F.embedding_bag(indices, decoder, per_sample_weights=values, mode="sum")

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        values, indices, decoder = ctx.saved_tensors
        of_values = row_products(decoder, indices, grad) if ctx.needs_input_grad[0] else None
        of_decoder = add_rows(decoder, indices, values, grad) if ctx.needs_input_grad[2] else None
        return of_values, None, of_decoder


class SparseEncode(torch.autograd.Function):
    """The k largest activations of a linear layer after its ReLU; one dense product to find them, none to learn."""

    @staticmethod
    def forward(ctx, x: Tensor, encoder: Tensor, bias: Tensor, k: int) -> tuple[Tensor, Tensor]:
        values, indices = torch.addmm(bias, x, encoder.T).relu_().topk(k, dim=-1)
        ctx.save_for_backward(x, encoder, values, indices)
        ctx.mark_non_differentiable(indices)
        return values, indices

    @staticmethod
    def backward(ctx, grad: Tensor, _: None) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, encoder, values, indices = ctx.saved_tensors
        slope = grad * (values > 0)
        of_x = of_encoder = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = F.embedding_bag(indices, encoder, per_sample_weights=slope, mode="sum")
        if ctx.needs_input_grad[1]:
            of_encoder = add_rows(encoder, indices, slope, x)
        if ctx.needs_input_grad[2]:
            of_bias = slope.new_zeros(len(encoder)).index_add_(0, indices.reshape(-1), slope.reshape(-1))
        return of_x, of_encoder, of_bias, None


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
