"""A C kernel of this book over rows of tensors: loaded for their dtype, its rows shared out among torch's threads.

Every C function of a kernel takes the first row and the one after the last, then its numbers, then its tensors, and
returns 0, or 1 when it had to stop. Rows never meet, so the result does not depend on how many threads there are.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from lib.errors import BookError
from lib.kernels import native

REALS = {torch.float32: "REAL=float", torch.float64: "REAL=double"}
WORTH_A_THREAD = 1_000_000  # numbers touched per thread; below, starting one costs more than it saves


def refusal(source: str) -> str | None:
    """Why a kernel cannot be used on this machine, or None. The first call may build it (1 s)."""
    try:
        for macro in REALS.values():
            native.load(source, (macro,))
    except (BookError, OSError) as error:
        return str(error)
    return None


def over_rows(
    source: str, name: str, rows: int, touched: int, numbers: Iterable[float], tensors: Iterable[Tensor | None]
) -> bool:
    """Call the C function `name` over all rows and say whether one of the calls had to stop.

    touched: numbers read or written in all, which decides how many threads are worth starting. numbers: whole ones
    arrive as `long`, others as `double`. tensors: contiguous, on a CPU; None arrives as NULL; the first one's dtype
    chooses the library. ctypes frees the GIL while C runs.
    """
    tensors = tuple(tensors)
    function = getattr(native.load(source, (REALS[tensors[0].dtype],)), name)
    given = [ctypes.c_long(n) if isinstance(n, int) else ctypes.c_double(n) for n in numbers]
    given += [None if each is None else ctypes.c_void_p(each.data_ptr()) for each in tensors]

    def run(first: int, last: int) -> int:
        return function(ctypes.c_long(first), ctypes.c_long(last), *given)

    threads = min(torch.get_num_threads(), rows, touched // WORTH_A_THREAD)
    if threads < 2:
        return bool(run(0, rows))
    edges = [rows * i // threads for i in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        return any(list(pool.map(run, edges[:-1], edges[1:])))
