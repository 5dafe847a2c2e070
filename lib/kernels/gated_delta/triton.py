"""The gated delta rule on a GPU, in Triton: the chunked form of chunk.py, name for name, forward and backward.

Two kernels walk through time (the states forwards, their gradients backwards) with the state in registers; the other
three work on all chunks at once. Products take the input's dtype and add up in float32; with float32 input they are
exact float32, not TF32. R stands for B * H, N for the number of chunks, C for CHUNK.
"""

from __future__ import annotations

import os

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 32  # steps per chunk
COLUMNS = 32  # columns of the state per program
WIDEST = 128  # key columns that one program holds; wider keys go to another implementation
WARPS = {torch.bfloat16: 4, torch.float32: 8}  # exact float32 products fill the registers of four warps
SMALLEST_BETA = tl.constexpr(1e-30)  # see chunk.py for both
SMALLEST_G = tl.constexpr(-1e4)
INTERPRETED = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")


def why_not(q: Tensor, v: Tensor) -> str | None:
    """Why these kernels cannot serve q [B, T, H, K] and v [B, T, H, V], or None when they can."""
    if q.dtype not in WARPS:
        return f"it takes float32 and bfloat16, not {q.dtype}"
    if q.shape[3] > WIDEST:
        return f"it holds keys of at most {WIDEST} columns, not {q.shape[3]}"
    return None


def triton_gated_delta_rule(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, scale: float, initial_state: Tensor
) -> tuple[Tensor, Tensor]:
    """Run the recurrence chunk by chunk (README equations 4 to 12), with gradients of all inputs, once differentiable.

    q, k [B, T, H, K]; v [B, T, H, V], float32 or bfloat16; g, beta [B, T, H] and initial_state [B, H, K, V], float32.
    Returns o [B, T, H, V] in the dtype of q and the final state [B, H, K, V] in float32.

    Source: as chunk.py. Used by chapters 07 to 10.
    """
    return _Fused.apply(q, k, v, g, beta, initial_state, scale)


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v, g, beta, initial_state, scale):
        q, k, v, g, beta, initial_state = (x.contiguous() for x in (q, k, v, g, beta, initial_state))
        rows, chunks, columns, sizes, options = _launch(q, v)
        solve = q.new_empty(rows, chunks, CHUNK, CHUNK)
        states = q.new_empty(rows, chunks, q.shape[3], v.shape[3])
        u, o, final_state = torch.empty_like(v), torch.empty_like(v), torch.empty_like(initial_state)
        _solve_kernel[(rows, chunks)](k, g, beta, solve, *sizes, **{**options, "num_warps": 2})
        tensors = (k, v, g, solve, initial_state, states, u, final_state)
        _states_kernel[(rows, columns)](*tensors, chunks, *sizes, **options)
        _output_kernel[(rows, chunks, columns)](q, k, g, u, states, o, scale, *sizes, **options)
        ctx.scale = scale
        ctx.save_for_backward(q, k, g, beta, solve, states, u)
        return o, final_state

    @staticmethod
    @once_differentiable
    def backward(ctx, d_o, d_final):
        q, k, g, beta, solve, states, u = ctx.saved_tensors
        d_o, d_final = d_o.contiguous(), d_final.contiguous()
        rows, chunks, columns, sizes, options = _launch(q, d_o)
        d_q, d_k, d_g, d_beta = (torch.empty_like(x) for x in (q, k, g, beta))
        d_v, d_states, d_initial = torch.empty_like(u), torch.empty_like(states), torch.empty_like(d_final)
        tensors = (q, k, g, solve, d_o, d_final, d_states, d_v, d_initial)
        _states_gradient_kernel[(rows, columns)](*tensors, ctx.scale, chunks, *sizes, **options)
        tensors = (q, k, g, beta, u, states, d_o, d_v, d_states, d_q, d_k, d_g, d_beta)
        _inputs_gradient_kernel[(rows, chunks)](*tensors, ctx.scale, *sizes, **options)
        return d_q, d_k, d_v, d_g, d_beta, d_initial, None


def _launch(q: Tensor, v: Tensor) -> tuple[int, int, int, tuple[int, int, int, int], dict[str, int]]:
    """Rows, chunks, blocks of columns; (T, H, K, V); and what is fixed when a kernel is compiled."""
    batch, time, heads, key_size = q.shape
    value_size = v.shape[3]
    options = {"C": CHUNK, "BK": max(16, triton.next_power_of_2(key_size)), "BV": COLUMNS, "num_warps": WARPS[q.dtype]}
    blocks = triton.cdiv(time, CHUNK), triton.cdiv(value_size, COLUMNS)
    return batch * heads, *blocks, (time, heads, key_size, value_size), options


@triton.jit
def _dot(a, b, dtype):
    if INTERPRETED:  # Triton's interpreter keeps bfloat16 as integers, and would multiply those
        return tl.dot(a.to(dtype).to(tl.float32), b.to(dtype).to(tl.float32), input_precision="ieee")
    return tl.dot(a.to(dtype), b.to(dtype), input_precision="ieee")


@triton.jit
def _steps(row, chunk, T, H, C: tl.constexpr):
    """Where the steps of a chunk lie in [B, T, H] and which of them exist."""
    t = chunk * C + tl.arange(0, C)
    return (row // H * T + t) * H + row % H, t < T


@triton.jit
def _load_steps(base, at, live, width, column):
    """[C, columns] of a tensor [B, T, H, width], zero where there is none."""
    return tl.load(base + at[:, None] * width + column[None, :], live[:, None] & (column < width)[None, :], 0.0)


@triton.jit
def _store_steps(base, value, at, live, width, column):
    where = base + at[:, None] * width + column[None, :]
    tl.store(where, value.to(base.dtype.element_ty), live[:, None] & (column < width)[None, :])


@triton.jit
def _state_offsets(K, V, i, j):
    return i[:, None] * V + j[None, :], (i < K)[:, None] & (j < V)[None, :]


@triton.jit
def _load_beta(base, at, live):
    beta = tl.load(base + at, live, 0.0)
    return tl.where(tl.abs(beta) < SMALLEST_BETA, SMALLEST_BETA, beta)


@triton.jit
def _decays(g_base, at, live, C: tl.constexpr):
    """Products of decays: from the start to each step [C], from each step to the end [C], over the chunk, and the
    sums of logs [C] in float64 that they come from."""
    g = tl.load(g_base + at, live, 0.0).to(tl.float64)
    total = tl.cumsum(tl.where(g < SMALLEST_G, SMALLEST_G, g), 0)
    last = tl.sum(tl.where(tl.arange(0, C) == C - 1, total, 0.0), 0)
    return tl.exp(total.to(tl.float32)), tl.exp((last - total).to(tl.float32)), tl.exp(last.to(tl.float32)), total


@triton.jit
def _between(total, C: tl.constexpr):
    """Products of decays from step j to step i [C, C], zero where i < j."""
    i = tl.arange(0, C)
    lower = i[:, None] >= i[None, :]
    return tl.where(lower, tl.exp(tl.where(lower, (total[:, None] - total[None, :]).to(tl.float32), 0.0)), 0.0)


@triton.jit
def _solve_kernel(
    k_base, g_base, beta_base, solve_base, T, H, K, V, C: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr
):
    """solve = (I + overlap)^-1 diag(beta), by forward substitution, one row after the other."""
    row, chunk = tl.program_id(0).to(tl.int64), tl.program_id(1)
    at, live = _steps(row, chunk, T, H, C)
    i, j = tl.arange(0, C)[:, None], tl.arange(0, C)[None, :]
    k = _load_steps(k_base, at, live, K, tl.arange(0, BK))
    beta = _load_beta(beta_base, at, live)
    _, _, _, total = _decays(g_base, at, live, C)
    overlap = _dot(k, tl.trans(k), k.dtype) * _between(total, C) * beta[:, None]
    overlap = tl.where(i > j, overlap, 0.0)
    inverse = tl.where(i == j, 1.0, 0.0)
    for n in range(1, C):
        weights = tl.sum(tl.where(i == n, overlap, 0.0), 0)
        row_n = -tl.sum(weights[:, None] * inverse, 0)
        inverse += tl.where(i == n, row_n[None, :], 0.0)
    where = solve_base + (row * tl.num_programs(1) + chunk) * C * C + i * C + j
    tl.store(where, (inverse * beta[None, :]).to(solve_base.dtype.element_ty))


@triton.jit
def _states_kernel(
    k_base, v_base, g_base, solve_base, initial_base, states_base, u_base, final_base, N,
    T, H, K, V, C: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
):  # fmt: skip
    """Walk through the chunks: keep the state before each [R, N, K, V] and what each step writes, u [B, T, H, V]."""
    row = tl.program_id(0).to(tl.int64)
    key, column = tl.arange(0, BK), tl.program_id(1) * BV + tl.arange(0, BV)
    offsets, inside = _state_offsets(K, V, key, column)
    c = tl.arange(0, C)
    dtype = k_base.dtype.element_ty
    state = tl.load(initial_base + row * K * V + offsets, inside, 0.0)
    for chunk in range(N):
        tl.store(states_base + (row * N + chunk) * K * V + offsets, state.to(dtype), inside)
        at, live = _steps(row, chunk, T, H, C)
        from_start, to_end, whole, _ = _decays(g_base, at, live, C)
        k = _load_steps(k_base, at, live, K, key)
        v = _load_steps(v_base, at, live, V, column)
        solve = tl.load(solve_base + (row * N + chunk) * C * C + c[:, None] * C + c[None, :])
        rest = v - from_start[:, None] * _dot(k, state, dtype)
        u = _dot(solve, rest, dtype)
        _store_steps(u_base, u, at, live, V, column)
        state = state * whole + _dot(tl.trans(k * to_end[:, None]), u, dtype)
    tl.store(final_base + row * K * V + offsets, state, inside)


@triton.jit
def _output_kernel(
    q_base, k_base, g_base, u_base, states_base, o_base, scale,
    T, H, K, V, C: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
):  # fmt: skip
    """o = what the queries read from the state before the chunk, and from the chunk's own writes."""
    row, chunk = tl.program_id(0).to(tl.int64), tl.program_id(1)
    key, column = tl.arange(0, BK), tl.program_id(2) * BV + tl.arange(0, BV)
    offsets, inside = _state_offsets(K, V, key, column)
    at, live = _steps(row, chunk, T, H, C)
    dtype = q_base.dtype.element_ty
    from_start, _, _, total = _decays(g_base, at, live, C)
    q, k = _load_steps(q_base, at, live, K, key), _load_steps(k_base, at, live, K, key)
    u = _load_steps(u_base, at, live, V, column)
    state = tl.load(states_base + (row * tl.num_programs(1) + chunk) * K * V + offsets, inside, 0.0)
    scores = _dot(q, tl.trans(k), dtype) * _between(total, C)
    o = scale * (from_start[:, None] * _dot(q, state, dtype) + _dot(scores, u, dtype))
    _store_steps(o_base, o, at, live, V, column)


@triton.jit
def _states_gradient_kernel(
    q_base, k_base, g_base, solve_base, d_o_base, d_final_base, d_states_base, d_v_base, d_initial_base, scale, N,
    T, H, K, V, C: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
):  # fmt: skip
    """Walk back: keep the gradient of the state after each chunk [R, N, K, V] and that of v [B, T, H, V]."""
    row = tl.program_id(0).to(tl.int64)
    key, column = tl.arange(0, BK), tl.program_id(1) * BV + tl.arange(0, BV)
    offsets, inside = _state_offsets(K, V, key, column)
    c = tl.arange(0, C)
    dtype = q_base.dtype.element_ty
    d_state = tl.load(d_final_base + row * K * V + offsets, inside, 0.0)
    for step in range(N):
        chunk = N - 1 - step
        tl.store(d_states_base + (row * N + chunk) * K * V + offsets, d_state.to(dtype), inside)
        at, live = _steps(row, chunk, T, H, C)
        from_start, to_end, whole, total = _decays(g_base, at, live, C)
        q, k = _load_steps(q_base, at, live, K, key), _load_steps(k_base, at, live, K, key)
        d_o = _load_steps(d_o_base, at, live, V, column)
        solve = tl.load(solve_base + (row * N + chunk) * C * C + c[:, None] * C + c[None, :])
        scores = _dot(q, tl.trans(k), dtype) * _between(total, C) * scale
        d_u = _dot(tl.trans(scores), d_o, dtype) + to_end[:, None] * _dot(k, d_state, dtype)
        d_v = _dot(tl.trans(solve), d_u, dtype)
        _store_steps(d_v_base, d_v, at, live, V, column)
        read = _dot(tl.trans(q * (from_start * scale)[:, None]), d_o, dtype)
        d_state = d_state * whole + read - _dot(tl.trans(k * from_start[:, None]), d_v, dtype)
    tl.store(d_initial_base + row * K * V + offsets, d_state, inside)


@triton.jit
def _inputs_gradient_kernel(
    q_base, k_base, g_base, beta_base, u_base, states_base, d_o_base, d_v_base, d_states_base,
    d_q_base, d_k_base, d_g_base, d_beta_base, scale,
    T, H, K, V, C: tl.constexpr, BK: tl.constexpr, BV: tl.constexpr,
):  # fmt: skip
    """Gradients of q, k, g and beta within one chunk; sums over the state's columns, block by block."""
    row, chunk = tl.program_id(0).to(tl.int64), tl.program_id(1)
    key = tl.arange(0, BK)
    i, j = tl.arange(0, C)[:, None], tl.arange(0, C)[None, :]
    at, live = _steps(row, chunk, T, H, C)
    dtype = q_base.dtype.element_ty
    beta = _load_beta(beta_base, at, live)
    state_at = (row * tl.num_programs(1) + chunk) * K * V

    d_scores = tl.zeros([C, C], tl.float32)
    d_overlap = tl.zeros([C, C], tl.float32)
    q_read = tl.zeros([C, BK], tl.float32)
    k_read = tl.zeros([C, BK], tl.float32)
    k_write = tl.zeros([C, BK], tl.float32)
    d_beta = tl.zeros([C], tl.float32)
    carried = tl.zeros([BK], tl.float32)
    for block in range(tl.cdiv(V, BV)):
        column = block * BV + tl.arange(0, BV)
        offsets, inside = _state_offsets(K, V, key, column)
        u = _load_steps(u_base, at, live, V, column)
        d_o = _load_steps(d_o_base, at, live, V, column)
        d_v = _load_steps(d_v_base, at, live, V, column)
        state = tl.load(states_base + state_at + offsets, inside, 0.0)
        d_state = tl.load(d_states_base + state_at + offsets, inside, 0.0)
        d_scores += _dot(d_o, tl.trans(u), dtype)
        d_overlap += _dot(d_v, tl.trans(u), dtype)
        q_read += _dot(d_o, tl.trans(state), dtype)
        k_read += _dot(d_v, tl.trans(state), dtype)
        k_write += _dot(u, tl.trans(d_state), dtype)
        d_beta += tl.sum((u.to(tl.float32) / beta[:, None]) * (d_v.to(tl.float32) / beta[:, None]), 1)
        carried += tl.sum(state.to(tl.float32) * d_state.to(tl.float32), 1)

    from_start, to_end, whole, total = _decays(g_base, at, live, C)
    decay = _between(total, C)
    q, k = _load_steps(q_base, at, live, K, key), _load_steps(k_base, at, live, K, key)
    d_scores *= decay * scale
    d_overlap = tl.where(i > j, d_overlap * decay, 0.0)
    q_read *= (from_start * scale)[:, None]
    k_read *= from_start[:, None]
    k_write *= to_end[:, None]

    scores, overlap = _dot(q, tl.trans(k), dtype), _dot(k, tl.trans(k), dtype)
    between = tl.where(i > j, d_scores * scores - d_overlap * overlap, 0.0)
    written = tl.sum(k * k_write, 1)
    d_total = tl.sum(between, 1) - tl.sum(between, 0) + tl.sum(q * q_read, 1) - tl.sum(k * k_read, 1) - written
    at_end = tl.sum(written, 0) + tl.sum(carried, 0) * whole
    d_total += tl.where(tl.arange(0, C) == C - 1, at_end, 0.0)
    tl.store(d_g_base + at, tl.cumsum(d_total, 0, reverse=True), live)
    tl.store(d_beta_base + at, d_beta, live)

    d_q = q_read + _dot(d_scores, k, dtype)
    d_k = k_write - k_read + _dot(tl.trans(d_scores), q, dtype) - _dot(d_overlap + tl.trans(d_overlap), k, dtype)
    _store_steps(d_q_base, d_q, at, live, K, key)
    _store_steps(d_k_base, d_k, at, live, K, key)
