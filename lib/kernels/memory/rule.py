"""The public gated residual memory: it checks its arguments, picks an implementation and says why."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor
from torch.nn import functional as F

from lib.errors import BookError
from lib.kernels.choice import Choice, pick
from lib.kernels.memory.naive import naive_gated_residual_memory
from lib.kernels.memory.parallel import parallel_gated_residual_memory
from lib.kernels.memory.state import MemoryState

AGGREGATES = ("gated", "residual", "soup", "sparse")
MODES = ("checkpoint", "independent")
FEATURE_MAPS = {"elu1": lambda x: F.elu(x) + 1, "identity": lambda x: x}
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
RUN = {"parallel": parallel_gated_residual_memory, "naive": naive_gated_residual_memory}
REASONS = {"parallel": "matrix products over segments", "naive": "the plain loop over tokens, the reference"}


def gated_residual_memory(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    u: Tensor,
    x: Tensor,
    *,
    segment: int,
    aggregate: str = "gated",
    top_k: int | None = None,
    mode: str = "checkpoint",
    normalise: bool = True,
    feature_map: str = "elu1",
    initial_state: MemoryState | None = None,
    impl: str = "auto",
) -> tuple[Tensor, MemoryState]:
    """Linear attention that also reads what it held at the end of earlier segments.

        M_t = M_{t-1} + phi(k_t) v_t^T ;  o_t = g_t M_t(q_t) + sum_{i < s} g_{t,i} M^(i)(q_t) ;  M(q) = M^T phi(q) / Z

    q, k: [B, T, H, K]. v: [B, T, H, V]. u, x: [B, T, E]. All of one dtype: float32, float64, bfloat16 or float16.
        The gate of token t for segment i is the softmax of <u_t, mean of x over i>, over the finished segments and the
        current one, which has its running mean; `memory_gates` gives these gates.
    segment: tokens in a segment.
    aggregate: "gated"; "residual", all gates 1; "soup", the memories are averaged before one read; "sparse", gates
        over the current segment and the top_k finished ones of largest score.
    mode: "checkpoint", the memory is carried on from segment to segment; "independent", each begins empty.
    normalise: divide each read by Z = phi(q)^T sum phi(k) of the memory that is read, at least 1e-6.
    feature_map: "elu1", elu + 1, or "identity", for un-normalised reads only.
    initial_state: the second result of an earlier call, or None.
    impl: "naive", "parallel", or "auto", which `lib.kernels.explain` explains.

    Returns o [B, T, H, V] in the dtype of q, and the MemoryState after the last token, float64 for float64 input and
    float32 otherwise. T may be 0. Gradients flow to q, k, v, u, x and the initial state, from both results.

    Raises BookError for a shape, dtype or option that does not fit; the message names it.

    Source: Behrouz et al., Memory Caching: RNNs with Growing Memory (arXiv:2602.24281), equations 2 and 8 to 10.
    Used by chapter 08.
    """
    options = {"segment": segment, "aggregate": aggregate, "top_k": top_k, "mode": mode, "normalise": normalise}
    check_options(**options, feature_map=feature_map)
    check_arguments(q, k, v, u, x, segment, initial_state)
    run = RUN[choose(q, segment, impl).impl]
    dtype, working = q.dtype, torch.float64 if q.dtype == torch.float64 else torch.float32
    if initial_state is None:
        sizes = (q.shape[0], q.shape[2], q.shape[3], v.shape[3], x.shape[2])
        initial_state = MemoryState.empty(*sizes, dtype=working, device=q.device)
    if q.shape[1] == 0:
        return v.clone(), initial_state
    with _no_autocast(q.device.type):
        q, k, v, u, x = (part.to(working) for part in (q, k, v, u, x))
        q, k = (FEATURE_MAPS[feature_map](part) for part in (q, k))
        o, state = run(q, k, v, u, x, **options, state=initial_state)
    return o.to(dtype), state


def explain_gated_residual_memory(
    q: Tensor, k: Tensor, v: Tensor, u: Tensor, x: Tensor, *, segment: int, impl: str = "auto", **options: object
) -> Choice:
    """Say which implementation `gated_residual_memory` would take for these arguments, and why; it is not run."""
    check_arguments(q, k, v, u, x, segment, options.get("initial_state"))
    return choose(q, segment, impl)


def choose(q: Tensor, segment: int, impl: str) -> Choice:
    """One token, or segments of one, gain nothing from products over segments; everything else does."""
    order = ("naive", "parallel") if q.shape[1] == 1 else ("parallel", "naive")
    return pick("gated_residual_memory", impl, {name: REASONS[name] for name in order}, {})


def _no_autocast(device: str) -> contextlib.AbstractContextManager:
    """Autocast would run the products with the memory in half precision."""
    if torch.amp.is_autocast_available(device):
        return torch.autocast(device_type=device, enabled=False)
    return contextlib.nullcontext()


def check_options(
    segment: int, aggregate: str, top_k: int | None, mode: str, normalise: bool, feature_map: str
) -> None:
    """Refuse options that do not exist or do not go together."""
    known = {"aggregate": (aggregate, AGGREGATES), "mode": (mode, MODES), "feature_map": (feature_map, FEATURE_MAPS)}
    for name, (given, names) in known.items():
        if given not in names:
            raise BookError(f"{name}={given!r} is not known; use one of {', '.join(names)}")
    if not isinstance(segment, int) or segment < 1:
        raise BookError(f"segment={segment!r}; give the tokens of a segment, 1 or more")
    if (aggregate == "sparse") != (top_k is not None):
        raise BookError(f"top_k={top_k} with aggregate={aggregate!r}; give top_k for 'sparse', and for it alone")
    if top_k is not None and top_k < 1:
        raise BookError(f"top_k={top_k}; read 1 cached segment or more")
    if normalise and feature_map == "identity":
        raise BookError("feature_map='identity' can make Z vanish; use normalise=False, or 'elu1'")


def check_arguments(
    q: Tensor, k: Tensor, v: Tensor, u: Tensor, x: Tensor, segment: int, state: MemoryState | None
) -> None:
    """Refuse tensors that do not fit together; the error names the argument, what it is and what is right."""
    for name, tensor, axes in (("q", q, "[B, T, H, K]"), ("v", v, "[B, T, H, V]"), ("x", x, "[B, T, E]")):
        if tensor.dim() != len(axes.split()):
            raise BookError(f"{name} has shape {list(tensor.shape)}; gated_residual_memory wants {axes}")
    if q.dtype not in DTYPES:
        raise BookError(f"q is {q.dtype}; gated_residual_memory takes {', '.join(map(str, DTYPES))}")
    batch, time, heads, key = q.shape
    value, width = v.shape[3], x.shape[2]
    steps = (batch, time)
    wanted = {"k": (k, (*steps, heads, key)), "v": (v, (*steps, heads, value))}
    wanted |= {"u": (u, (*steps, width)), "x": (x, (*steps, width))}
    wanted = {name: (tensor, shape, q.dtype) for name, (tensor, shape) in wanted.items()}
    if state is not None:
        kept = torch.float64 if q.dtype == torch.float64 else torch.float32
        sizes = {"online": (batch, heads, key, value), "online_sum": (batch, heads, key), "x_sum": (batch, width)}
        sizes |= {f"cached{name[6:]}": (batch, state.segments, *sizes[name][1:]) for name in ("online", "online_sum")}
        sizes["cached_mean"] = (batch, state.segments, width)
        wanted |= {f"initial_state.{name}": (part, sizes[name], kept) for name, part in state.tensors().items()}
        if not 0 <= state.filled < segment:
            raise BookError(
                f"initial_state has {state.filled} tokens in its segment; give fewer than segment={segment}"
            )
    for name, (tensor, shape, dtype) in wanted.items():
        if tuple(tensor.shape) != shape:
            raise BookError(f"{name} has shape {list(tensor.shape)}; with q {list(q.shape)} it must be {list(shape)}")
        if tensor.dtype != dtype:
            raise BookError(f"{name} is {tensor.dtype}; with q in {q.dtype} it must be {dtype}")
        if tensor.device != q.device:
            raise BookError(f"{name} is on {tensor.device} and q on {q.device}; move {name} to {q.device}")
