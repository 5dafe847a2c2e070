"""The public functions: shapes checked, an implementation chosen."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from lib.errors import BookError
from lib.kernels.choice import Choice, pick
from lib.kernels.topk.naive import naive_topk_decode, naive_topk_encode
from lib.kernels.topk.sparse import SparseDecode, SparseEncode

Impl = Literal["auto", "sparse", "naive"]
USABLE = {"sparse": "k rows instead of all", "naive": "the dense twin, for comparison"}


def topk_decode(values: Tensor, indices: Tensor, decoder: Tensor, *, impl: Impl = "auto") -> Tensor:
    """The sum of k decoder rows for every input, [N, D]; exact gradients for values and decoder.

    values: [N, k]; indices: [N, k] int64, below F; decoder: [F, D]. impl: "sparse", "naive" or "auto" for sparse.
    An index may occur twice in a row; its values then add up. Raises BookError for shapes that do not fit.
    Gao et al. 2024, section 2; chapters 05 and 06.
    """
    if values.ndim != 2 or values.shape != indices.shape or decoder.ndim != 2:
        shapes = f"values {tuple(values.shape)}, indices {tuple(indices.shape)}, decoder {tuple(decoder.shape)}"
        raise BookError(f"{shapes}; give [N, k], [N, k] and [F, D]")
    chosen = explain_topk_decode(values, indices, decoder, impl=impl).impl
    return (SparseDecode.apply if chosen == "sparse" else naive_topk_decode)(values, indices, decoder)


def topk_encode(x: Tensor, encoder: Tensor, bias: Tensor, k: int, *, impl: Impl = "auto") -> tuple[Tensor, Tensor]:
    """The k largest of relu(encoder x + bias) with their features, each [N, k], largest first.

    x: [N, D]; encoder: [F, D]; bias: [F]. The values carry exact gradients, the indices none.
    Raises BookError for shapes that do not fit or a k outside 1 ... F.
    """
    if x.ndim != 2 or encoder.ndim != 2 or x.shape[1] != encoder.shape[1] or bias.shape != encoder.shape[:1]:
        shapes = f"x {tuple(x.shape)}, encoder {tuple(encoder.shape)}, bias {tuple(bias.shape)}"
        raise BookError(f"{shapes}; give [N, D], [F, D] and [F]")
    if not 1 <= k <= len(encoder):
        raise BookError(f"k={k} of {len(encoder)} features; give 1 to {len(encoder)}")
    chosen = pick("topk_encode", impl, USABLE, {}).impl
    return (SparseEncode.apply if chosen == "sparse" else naive_topk_encode)(x, encoder, bias, k)


def explain_topk_decode(values: Tensor, indices: Tensor, decoder: Tensor, *, impl: Impl = "auto") -> Choice:
    """Which implementation a call of `topk_decode` takes."""
    return pick("topk_decode", impl, USABLE, {})
