"""The public gated delta rule: it checks its arguments, picks an implementation and says why."""

from __future__ import annotations

import torch
from torch import Tensor

from lib.errors import BookError
from lib.kernels.choice import Choice, pick
from lib.kernels.gated_delta.naive import naive_gated_delta_rule

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
IMPLEMENTATIONS = {"naive": naive_gated_delta_rule}


def gated_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    beta: Tensor,
    *,
    scale: float = 1.0,
    initial_state: Tensor | None = None,
    impl: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Gated delta rule over a sequence.

        S_t = exp(g_t) (S_{t-1} - beta_t k_t (k_t^T S_{t-1})) + beta_t k_t v_t^T ;  o_t = scale * q_t^T S_t

    q, k: [B, T, H, K]. v: [B, T, H, V]. The three share one dtype: float32, float64, bfloat16 or float16.
    g: [B, T, H], log decay, at most 0 in every use that we know. beta: [B, T, H] in [0, 2]; above 1 the rule
        has negative eigenvalues. Both in the dtype of q or in the state's.
    scale: multiplies the output. The rule expects keys of length one; it does not normalise them.
    initial_state: [B, H, K, V] in the state's dtype, or None for zeros.
    impl: "naive", "chunk", "compiled", "triton", or "auto" (see `lib.kernels.explain`).

    Returns o [B, T, H, V] in the dtype of q, and the final state [B, H, K, V]. The state is float64 for float64
    input and float32 otherwise, under autocast too. T may be 0: the state then comes back as it went in.
    Gradients flow to q, k, v, g, beta and initial_state, from both outputs.

    Raises BookError for a shape, dtype, device or impl that does not fit; the message names the argument.

    Source: Yang, Kautz and Hatamizadeh, Gated Delta Networks (2024), equation 10. Used by chapters 07 to 10.
    """
    check_arguments(q, k, v, g, beta, initial_state)
    chosen = explain_gated_delta_rule(q, k, v, g, beta, initial_state=initial_state, impl=impl).impl
    state_dtype = state_dtype_of(q)
    if initial_state is None:
        initial_state = q.new_zeros(q.shape[0], q.shape[2], q.shape[3], v.shape[3], dtype=state_dtype)
    with torch.autocast(device_type=q.device.type, enabled=False):
        inputs = (x.to(state_dtype) for x in (q, k, v, g, beta))
        o, final_state = IMPLEMENTATIONS[chosen](*inputs, float(scale), initial_state)
    return o.to(q.dtype), final_state


def explain_gated_delta_rule(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, *, initial_state: Tensor | None = None, impl: str = "auto"
) -> Choice:
    """Say which implementation `gated_delta_rule` would take for these arguments, and why. Nothing is computed."""
    return pick("gated_delta_rule", impl, {"naive": "the plain loop, the reference"}, {})


def state_dtype_of(q: Tensor) -> torch.dtype:
    """The dtype that the state is kept in: float64 for float64 input, float32 for all others."""
    return torch.float64 if q.dtype == torch.float64 else torch.float32


def check_arguments(q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, initial_state: Tensor | None) -> None:
    """Refuse arguments that do not fit together; the error names the argument, what it is and what is right."""
    if q.dim() != 4:
        raise BookError(f"q has shape {list(q.shape)}; gated_delta_rule wants [B, T, H, K]")
    if q.dtype not in DTYPES:
        raise BookError(f"q is {q.dtype}; gated_delta_rule takes {', '.join(map(str, DTYPES))}")
    if v.dim() != 4:
        raise BookError(f"v has shape {list(v.shape)}; gated_delta_rule wants [B, T, H, V]")
    batch, time, heads, key_size = q.shape
    value_size = v.shape[3]
    state_dtype = state_dtype_of(q)
    wanted = {
        "k": (k, (batch, time, heads, key_size), "[B, T, H, K]", (q.dtype,)),
        "v": (v, (batch, time, heads, value_size), "[B, T, H, V]", (q.dtype,)),
        "g": (g, (batch, time, heads), "[B, T, H]", (q.dtype, state_dtype)),
        "beta": (beta, (batch, time, heads), "[B, T, H]", (q.dtype, state_dtype)),
    }
    if initial_state is not None:
        shape = (batch, heads, key_size, value_size)
        wanted["initial_state"] = (initial_state, shape, "[B, H, K, V]", (state_dtype,))
    for name, (tensor, shape, axes, dtypes) in wanted.items():
        if tuple(tensor.shape) != shape:
            raise BookError(f"{name} has shape {list(tensor.shape)}; with q {list(q.shape)} it must be {axes} = {list(shape)}")
        if tensor.dtype not in dtypes:
            allowed = " or ".join(dict.fromkeys(map(str, dtypes)))
            raise BookError(f"{name} is {tensor.dtype}; with q in {q.dtype} it must be {allowed}")
        if tensor.device != q.device:
            raise BookError(f"{name} is on {tensor.device} and q on {q.device}; move {name} to {q.device}")
