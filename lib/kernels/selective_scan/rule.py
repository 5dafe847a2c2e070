"""The public selective scan: it checks its arguments, picks an implementation and says why."""

from __future__ import annotations

import importlib

import torch
from torch import Tensor

from lib.errors import BookError
from lib.kernels.choice import Choice, pick

DTYPES = (torch.float32, torch.float64)
REASONS = {
    "compiled": "the recurrence in C, built by this machine's compiler",
    "parallel": "composed in log2(T) rounds, in plain torch",
    "naive": "the plain loop over time, the reference",
}


def selective_scan(
    x: Tensor,
    dt: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor,
    *,
    initial_state: Tensor | None = None,
    impl: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Selective scan over a sequence: a diagonal state space whose step, input and output maps depend on the input.

        h_t = exp(dt_t a) h_(t-1) + dt_t b_t x_t ;  y_t = c_t . h_t + d x_t

    x, dt: [B, T, E], dt positive. a: [E, N], negative. b, c: [B, T, N]. d: [E]. All float32 or all float64.
    initial_state: [B, E, N], or None for zeros. impl: "compiled", "parallel", "naive" or "auto", the first that can.
    Returns y [B, T, E] and the final state [B, E, N]. Gradients flow to every argument from both outputs.
    Raises BookError for a shape, dtype, device or impl that does not fit; the message names the argument.
    Source: Gu and Dao, Mamba (2023), section 3. Used by chapter 07.
    """
    check_arguments(x, dt, a, b, c, d, initial_state)
    chosen = choose(x, impl).impl
    if initial_state is None:
        initial_state = x.new_zeros(x.shape[0], *a.shape)
    if x.numel() == 0:
        return x.clone(), initial_state.clone()
    module = importlib.import_module(f"lib.kernels.selective_scan.{chosen}")
    return getattr(module, f"{chosen}_selective_scan")(x, dt, a, b, c, d, initial_state)


def explain_selective_scan(
    x: Tensor,
    dt: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor,
    *,
    initial_state: Tensor | None = None,
    impl: str = "auto",
) -> Choice:
    """Say which implementation `selective_scan` would take for these arguments, and why; the scan is not run."""
    check_arguments(x, dt, a, b, c, d, initial_state)
    return choose(x, impl)


def choose(x: Tensor, impl: str) -> Choice:
    """The implementations that can serve, and what speaks against the others; one step alone needs no rounds."""
    order = list(REASONS)
    if x.shape[1] == 1:
        order = ["compiled", "naive", "parallel"]
    refused = {}
    if impl in ("auto", "compiled"):
        if x.device.type != "cpu":
            refused["compiled"] = f"it runs on a CPU and x is on {x.device.type}"
        else:
            why_not = importlib.import_module("lib.kernels.selective_scan.compiled").why_not()
            refused |= {} if why_not is None else {"compiled": why_not}
    usable = {name: REASONS[name] for name in order if name not in refused}
    return pick("selective_scan", impl, usable, refused)


def check_arguments(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, initial_state: Tensor | None
) -> None:
    """Refuse arguments that do not fit together; the error names the argument, what it is and what is right."""
    if x.dim() != 3 or x.dtype not in DTYPES:
        raise BookError(f"x is {x.dtype} of shape {list(x.shape)}; selective_scan wants float32 or float64 [B, T, E]")
    if a.dim() != 2:
        raise BookError(f"a has shape {list(a.shape)}; selective_scan wants [E, N]")
    batch, time, channels = x.shape
    states = a.shape[1]
    wanted = {
        "dt": (dt, "[B, T, E]", (batch, time, channels)),
        "a": (a, "[E, N]", (channels, states)),
        "b": (b, "[B, T, N]", (batch, time, states)),
        "c": (c, "[B, T, N]", (batch, time, states)),
        "d": (d, "[E]", (channels,)),
    }
    if initial_state is not None:
        wanted["initial_state"] = (initial_state, "[B, E, N]", (batch, channels, states))
    for name, (tensor, axes, shape) in wanted.items():
        if tuple(tensor.shape) != shape:
            right = f"{axes} = {list(shape)}"
            raise BookError(f"{name} has shape {list(tensor.shape)}; with x {list(x.shape)} it must be {right}")
        if tensor.dtype != x.dtype or tensor.device != x.device:
            seen, right = f"{tensor.dtype} on {tensor.device}", f"{x.dtype} on {x.device}"
            raise BookError(f"{name} is {seen} and x is {right}; give both the same")
