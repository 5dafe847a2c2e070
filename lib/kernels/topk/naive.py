"""The textbook form of a TopK autoencoder's two halves: dense rows of F numbers, dense products, dense gradients."""

from __future__ import annotations

import torch
from torch import Tensor


def naive_topk_decode(values: Tensor, indices: Tensor, decoder: Tensor) -> Tensor:
    """values [N, k], indices [N, k], decoder [F, D] -> [N, D]: the rows scattered into [N, F] and multiplied."""
    dense = values.new_zeros(len(values), len(decoder)).scatter_add(1, indices, values)
    return dense @ decoder


def naive_topk_encode(x: Tensor, encoder: Tensor, bias: Tensor, centre: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of relu((x - centre) encoder^T + bias): values and indices, [N, k].

    x [N, D], encoder [F, D], bias [F], centre [D].
    """
    return torch.relu((x - centre) @ encoder.T + bias).topk(k, dim=-1)
