"""The same two halves from the k rows that count: sums of rows forward, sums into rows backward.

Nothing is approximated. The dense decoder gradient A^T g, with A the [N, F] matrix of k values a row, has the row
sum over n of A[n, f] g[n] for every feature f that was used and zero elsewhere. For the encoder the same holds of the
derivative of the k values that were kept: a top-k passes no gradient to others. The rows are added up by one of two
modules with the same three functions: `rows.py`, in torch, and `compiled.py`, in C.
"""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class SparseDecode(torch.autograd.Function):
    """Rows of a decoder, weighted and added up."""

    @staticmethod
    def forward(ctx, values: Tensor, indices: Tensor, decoder: Tensor, rows: ModuleType) -> Tensor:
        ctx.save_for_backward(values, indices, decoder)
        ctx.rows = rows
        return rows.row_sums(values, indices, decoder)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        values, indices, decoder = ctx.saved_tensors
        wanted = ctx.needs_input_grad[0], ctx.needs_input_grad[2]
        of_values, of_decoder = ctx.rows.row_gradients(values, indices, decoder, grad, wanted)
        return of_values, None, of_decoder, None


class SparseEncode(torch.autograd.Function):
    """The k largest activations of a linear layer after its ReLU; one dense product to find them, none to learn.

    The input is read from a centre. The centre's gradient, less the sum over n of that of x, is one small product,
    because that sum is the bias's gradient times the encoder.
    """

    @staticmethod
    def forward(
        ctx, x: Tensor, encoder: Tensor, bias: Tensor, centre: Tensor, k: int, rows: ModuleType
    ) -> tuple[Tensor, Tensor]:
        centred = x - centre
        values, indices = rows.largest(centred, encoder, bias, k)
        ctx.save_for_backward(centred, encoder, values, indices)
        ctx.rows = rows
        ctx.mark_non_differentiable(indices)
        return values, indices

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor, _: None) -> tuple[Tensor | None, ...]:
        centred, encoder, values, indices = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        slope = grad * (values > 0)
        of_x = of_encoder = of_bias = of_centre = None
        if wanted[0]:
            of_x = ctx.rows.row_sums(slope, indices, encoder)
        if wanted[1]:
            of_encoder = ctx.rows.row_gradients(slope, indices, encoder, centred, (False, True))[1]
        if wanted[2] or wanted[3]:
            of_bias = slope.new_zeros(len(encoder)).index_add_(0, indices.reshape(-1), slope.reshape(-1))
        if wanted[3]:
            of_centre = -(of_bias @ encoder)
        return of_x, of_encoder, of_bias, of_centre, None, None
