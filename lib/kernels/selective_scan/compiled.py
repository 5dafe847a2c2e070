"""The selective scan in compiled C, for a CPU: a block of channels runs through time with its states in the cache.

The backward pass is the recurrence run in reverse. It needs the states again, and rebuilds them from one checkpoint
per EVERY steps. With several torch threads the batch rows are shared out; the result does not depend on how many.
"""

from __future__ import annotations

import ctypes
import functools
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lib.errors import BookError
from lib.kernels import native
from lib.kernels.selective_scan.scan_c import SOURCE

EVERY = 32  # with 16 states a stretch and its decays are 64 KB of vectors
REALS = {torch.float32: "REAL=float", torch.float64: "REAL=double"}
WORTH_A_THREAD = 1_000_000  # states touched per thread; below, starting one costs more than it saves


@functools.cache
def why_not() -> str | None:
    """Why the compiled scan cannot be used on this machine, or None. The first call may build it (1 s)."""
    try:
        for macro in REALS.values():
            native.load(SOURCE, (macro,))
    except (BookError, OSError) as error:
        return str(error)
    return None


def compiled_selective_scan(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor, initial_state: Tensor
) -> tuple[Tensor, Tensor]:
    """Run the recurrence (README equation 1) in C, with gradients of all inputs (equation 3), once differentiable.

    x, dt [B, T, E]; a [E, N], negative; b, c [B, T, N]; d [E]; initial_state [B, E, N]; all float32 or all float64,
    on a CPU. Returns y [B, T, E] and the final state [B, E, N].
    Raises BookError where no C compiler works, MemoryError when its scratch memory cannot be had.
    Source: Gu and Dao, Mamba (2023), section 3.3: states are rebuilt, not stored. Used by chapter 07.
    """
    return _Compiled.apply(x, dt, a, b, c, d, initial_state)


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, dt, a, b, c, d, initial_state):
        inputs = tuple(each.contiguous() for each in (x, dt, a, b, c, d))
        y, final_state = torch.empty_like(inputs[0]), torch.empty_like(initial_state)
        batch, time, channels = x.shape
        checkpoints = None
        if any(ctx.needs_input_grad):
            checkpoints = x.new_empty(batch, -(-time // EVERY), a.shape[1], channels)
            ctx.save_for_backward(*inputs, checkpoints)
        tensors = (*inputs, initial_state.contiguous(), y, final_state, checkpoints)
        _call("selective_scan_forward", x.shape, a.shape[1], tensors)
        return y, final_state

    @staticmethod
    @once_differentiable
    def backward(ctx, d_y, d_final):
        *inputs, checkpoints = ctx.saved_tensors
        x, dt, a, b, c, d = inputs
        dx, d_dt, d_initial = torch.empty_like(x), torch.empty_like(dt), torch.empty_like(d_final.contiguous())
        db, dc = torch.zeros_like(b), torch.zeros_like(c)
        da, dd = a.new_empty(x.shape[0], *a.shape), d.new_empty(x.shape[0], *d.shape)
        given = (*inputs, checkpoints, d_y.contiguous(), d_final.contiguous())
        _call("selective_scan_backward", x.shape, a.shape[1], (*given, dx, d_dt, da, db, dc, dd, d_initial))
        return dx, d_dt, da.sum(0), db, dc, dd.sum(0), d_initial


def _call(name: str, shape: torch.Size, states: int, tensors: tuple[Tensor | None, ...]) -> None:
    """Call a C function over all batch rows; the first tensor's dtype chooses the library. ctypes frees the GIL."""
    batch, time, channels = shape
    function = getattr(native.load(SOURCE, (REALS[tensors[0].dtype],)), name)
    sizes = [ctypes.c_long(n) for n in (time, channels, states, EVERY)]
    pointers = [None if each is None else ctypes.c_void_p(each.data_ptr()) for each in tensors]

    def run(first: int, last: int) -> int:
        return function(ctypes.c_long(first), ctypes.c_long(last), *sizes, *pointers)

    threads = min(torch.get_num_threads(), batch, batch * time * channels * states // WORTH_A_THREAD)
    if threads < 2:
        failed = run(0, batch)
    else:
        edges = [batch * i // threads for i in range(threads + 1)]
        with ThreadPoolExecutor(threads) as pool:
            failed = any(pool.map(run, edges[:-1], edges[1:]))
    if failed:
        raise MemoryError(f"{name} could not allocate its scratch memory for N={states}")
