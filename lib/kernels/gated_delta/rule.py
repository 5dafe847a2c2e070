"""The public gated delta rule: it checks its arguments, picks an implementation and says why."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os

import torch
from torch import Tensor

from lib.errors import BookError
from lib.kernels.choice import Choice, pick

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
PREFERENCE = {"cpu": ("compiled", "chunk", "naive"), "cuda": ("triton", "chunk", "naive")}
REASONS = {
    "naive": "the plain loop over time, the reference",
    "chunk": "matrix products over chunks, in plain torch",
    "compiled": "the recurrence in C, built by this machine's compiler",
    "triton": "chunks fused in Triton",
}


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
    g: [B, T, H], log decay, 0 or less. beta: [B, T, H] in [0, 2]; above 1 the state can change sign.
        Both in the dtype of q or in the state's. The rule expects keys of length one; it does not normalise them.
    scale: multiplies the output.
    initial_state: [B, H, K, V] in the state's dtype, or None for zeros.
    impl: "naive", "chunk", "compiled", "triton", or "auto", which `lib.kernels.explain` explains.

    Returns o [B, T, H, V] in the dtype of q, and the final state [B, H, K, V]. The state is float64 for float64
    input and float32 otherwise, under autocast too. T may be 0: the state then comes back as it went in.
    Gradients flow to q, k, v, g, beta and initial_state from both outputs; twice only through "naive".

    Raises BookError for a shape, dtype, device or impl that does not fit; the message names the argument.

    Source: Yang, Kautz and Hatamizadeh, Gated Delta Networks (2024), equation 10. Used by chapters 07 to 10.
    """
    check_arguments(q, k, v, g, beta, initial_state)
    chosen = choose(q, v, impl).impl
    state_dtype = state_dtype_of(q)
    if initial_state is None:
        initial_state = q.new_zeros(q.shape[0], q.shape[2], q.shape[3], v.shape[3], dtype=state_dtype)
    if v.numel() == 0:
        return v.clone(), initial_state.clone()
    dtype = q.dtype
    working = dtype if chosen == "triton" else state_dtype
    module = importlib.import_module(f"lib.kernels.gated_delta.{chosen}")
    run = getattr(module, f"{chosen}_gated_delta_rule")
    with _no_autocast(q.device.type):
        q, k, v = (x.to(working) for x in (q, k, v))
        g, beta = (x.to(state_dtype) for x in (g, beta))
        o, final_state = run(q, k, v, g, beta, float(scale), initial_state)
    return o.to(dtype), final_state


def explain_gated_delta_rule(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    beta: Tensor,
    *,
    scale: float = 1.0,
    initial_state: Tensor | None = None,
    impl: str = "auto",
) -> Choice:
    """Say which implementation `gated_delta_rule` would take for these arguments, and why; the rule is not run.

    The arguments are checked as the rule checks them. Asking may build the C library, once per machine.
    """
    check_arguments(q, k, v, g, beta, initial_state)
    return choose(q, v, impl)


def choose(q: Tensor, v: Tensor, impl: str) -> Choice:
    """Pick an implementation for q [B, T, H, K] and v [B, T, H, V]; the reasons stand beside the names."""
    order = list(PREFERENCE.get(q.device.type, ("chunk", "naive")))
    order += [name for name in REASONS if name not in order]
    if q.shape[1] == 1 and order.index("chunk") < order.index("naive"):
        order.remove("chunk")
        order.insert(order.index("naive") + 1, "chunk")
    usable, refused = {}, {}
    for name in order:
        if impl not in ("auto", name) and impl in REASONS:
            continue
        why_not = refusal(name, q, v)
        if why_not is None:
            usable[name] = REASONS[name]
        else:
            refused[name] = why_not
    return pick("gated_delta_rule", impl, usable, refused)


def refusal(name: str, q: Tensor, v: Tensor) -> str | None:
    """Why an implementation cannot serve these tensors here, or None when it can."""
    device = q.device.type
    if name == "compiled":
        if device != "cpu":
            return f"it runs on a CPU and q is on {device}"
        return importlib.import_module("lib.kernels.gated_delta.compiled").why_not()
    if name == "triton":
        if not _triton_is_installed():
            return "the package triton is not installed (the extra `gpu` brings it)"
        if device != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
            return f"it runs on a CUDA device and q is on {device}"
        return importlib.import_module("lib.kernels.gated_delta.triton").why_not(q, v)
    if name == "chunk" and device == "mps":
        return "it sums decays in float64, which mps does not have"
    return None


@functools.cache
def _triton_is_installed() -> bool:
    """Looked up once: a search of the path at every call would cost more than a short call does."""
    return importlib.util.find_spec("triton") is not None


def _no_autocast(device: str) -> contextlib.AbstractContextManager:
    """Autocast would run the products with the state in half precision."""
    if torch.amp.is_autocast_available(device):
        return torch.autocast(device_type=device, enabled=False)
    return contextlib.nullcontext()


def state_dtype_of(q: Tensor) -> torch.dtype:
    """The dtype that the state is kept in: float64 for float64 input, float32 for all others."""
    return torch.float64 if q.dtype == torch.float64 else torch.float32


def check_arguments(q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, initial_state: Tensor | None) -> None:
    """Refuse arguments that do not fit together; the error names the argument, what it is and what is right."""
    if q.dim() != 4:
        raise BookError(f"q has shape {list(q.shape)}; gated_delta_rule wants [B, T, H, K]")
    if v.dim() != 4:
        raise BookError(f"v has shape {list(v.shape)}; gated_delta_rule wants [B, T, H, V]")
    if q.dtype not in DTYPES:
        raise BookError(f"q is {q.dtype}; gated_delta_rule takes {', '.join(map(str, DTYPES))}")
    batch, time, heads, key_size = q.shape
    value_size = v.shape[3]
    state_dtype = state_dtype_of(q)
    wanted = {
        "k": (k, "[B, T, H, K]", (batch, time, heads, key_size), (q.dtype,)),
        "v": (v, "[B, T, H, V]", (batch, time, heads, value_size), (q.dtype,)),
        "g": (g, "[B, T, H]", (batch, time, heads), (q.dtype, state_dtype)),
        "beta": (beta, "[B, T, H]", (batch, time, heads), (q.dtype, state_dtype)),
    }
    if initial_state is not None:
        shape = (batch, heads, key_size, value_size)
        wanted["initial_state"] = (initial_state, "[B, H, K, V]", shape, (state_dtype,))
    for name, (tensor, axes, shape, dtypes) in wanted.items():
        if tuple(tensor.shape) != shape:
            right = f"{axes} = {list(shape)}"
            raise BookError(f"{name} has shape {list(tensor.shape)}; with q {list(q.shape)} it must be {right}")
        if tensor.dtype not in dtypes:
            right = " or ".join(dict.fromkeys(map(str, dtypes)))
            raise BookError(f"{name} is {tensor.dtype}; with q in {q.dtype} it must be {right}")
        if tensor.device != q.device:
            raise BookError(f"{name} is on {tensor.device} and q on {q.device}; move {name} to {q.device}")
