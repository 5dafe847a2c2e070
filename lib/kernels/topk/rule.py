"""The public functions: shapes checked, an implementation chosen."""

from __future__ import annotations

import importlib
from typing import Literal

from torch import Tensor

from lib.errors import BookError
from lib.kernels.choice import Choice, pick
from lib.kernels.row_calls import REALS
from lib.kernels.topk.naive import naive_topk_decode, naive_topk_encode
from lib.kernels.topk.sparse import SparseDecode, SparseEncode

Impl = Literal["auto", "compiled", "sparse", "naive"]
REASONS = {
    "compiled": "k rows instead of all, in C built by this machine's compiler",
    "sparse": "k rows instead of all, in plain torch",
    "naive": "the dense twin, for comparison",
}
ROWS = {"compiled": "lib.kernels.topk.compiled", "sparse": "lib.kernels.topk.rows"}


def topk_decode(values: Tensor, indices: Tensor, decoder: Tensor, *, impl: Impl = "auto") -> Tensor:
    """The sum of k decoder rows for every input, [N, D]; exact gradients for values and decoder.

    values: [N, k]; indices: [N, k] int64, below F; decoder: [F, D]. impl: "compiled", "sparse", "naive" or "auto", the
    first that can. An index may occur twice in a row; its values then add up.
    Raises BookError for shapes that do not fit.
    Gao et al. 2024, section 2; chapters 03, 05 and 06.
    """
    if values.ndim != 2 or values.shape != indices.shape or decoder.ndim != 2:
        shapes = f"values {tuple(values.shape)}, indices {tuple(indices.shape)}, decoder {tuple(decoder.shape)}"
        raise BookError(f"{shapes}; give [N, k], [N, k] and [F, D]")
    chosen = choose("topk_decode", impl, values, decoder).impl
    if chosen == "naive":
        return naive_topk_decode(values, indices, decoder)
    return SparseDecode.apply(values, indices, decoder, importlib.import_module(ROWS[chosen]))


def topk_encode(
    x: Tensor, encoder: Tensor, bias: Tensor, k: int, *, centre: Tensor | None = None, impl: Impl = "auto"
) -> tuple[Tensor, Tensor]:
    """The k largest of relu(encoder (x - centre) + bias) with their features, each [N, k], largest first.

    x: [N, D]; encoder: [F, D]; bias: [F]; centre: [D], or None for zero. impl: as for `topk_decode`.
    The values carry exact gradients, the indices none.
    Raises BookError for shapes that do not fit or a k outside 1 ... F.
    """
    centre = x.new_zeros(x.shape[-1:]) if centre is None else centre
    fits = x.ndim == encoder.ndim == 2 and x.shape[1:] == encoder.shape[1:] == centre.shape
    if not fits or bias.shape != encoder.shape[:1]:
        shapes = f"x {tuple(x.shape)}, encoder {tuple(encoder.shape)}, bias {tuple(bias.shape)}"
        raise BookError(f"{shapes}, centre {tuple(centre.shape)}; give [N, D], [F, D], [F] and [D]")
    if not 1 <= k <= len(encoder):
        raise BookError(f"k={k} of {len(encoder)} features; give 1 to {len(encoder)}")
    chosen = choose("topk_encode", impl, x, encoder, bias, centre).impl
    if chosen == "naive":
        return naive_topk_encode(x, encoder, bias, centre, k)
    return SparseEncode.apply(x, encoder, bias, centre, k, importlib.import_module(ROWS[chosen]))


def explain_topk_decode(values: Tensor, indices: Tensor, decoder: Tensor, *, impl: Impl = "auto") -> Choice:
    """Which implementation a call of `topk_decode` takes, and why; nothing is computed."""
    return choose("topk_decode", impl, values, decoder)


def choose(kernel: str, impl: str, *reals: Tensor) -> Choice:
    """The implementations that can serve these tensors, and what speaks against the others."""
    refused = {}
    if impl in ("auto", "compiled"):
        kinds = {(each.device.type, each.dtype) for each in reals}
        if len(kinds) > 1 or reals[0].device.type != "cpu" or reals[0].dtype not in REALS:
            found = ", ".join(sorted(f"{dtype} on {device}" for device, dtype in kinds))
            refused["compiled"] = f"it takes float32 or float64 on a CPU, not {found}"
        else:
            why_not = importlib.import_module(ROWS["compiled"]).why_not()
            refused |= {} if why_not is None else {"compiled": why_not}
    return pick(kernel, impl, {name: why for name, why in REASONS.items() if name not in refused}, refused)
