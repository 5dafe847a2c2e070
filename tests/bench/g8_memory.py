"""G8: gated residual memory a segment at a time, B=2 T=1024 segment 64, eight heads of 32, against loops over tokens.

The indexed loop is how such code is usually written: time indexed at every step, the cache stacked anew, a backward
pass quadratic in T. The unbound loop is the book's own reference, which avoids all that; both ratios are shown.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from lib.kernels import gated_residual_memory
from tests.bench.measure import Row, fwd_bwd, interleaved, must_agree

BATCH, TIME, HEADS, SIZE, SEGMENT = 2, 1024, 8, 32, 64


def indexed_loop(q: Tensor, k: Tensor, v: Tensor, u: Tensor, x: Tensor) -> tuple[Tensor, None]:
    """Gated, checkpoint, normalised; one token at a time, by index."""
    q, k = F.elu(q) + 1, F.elu(k) + 1
    batch, time, heads, size = q.shape
    memory, total = q.new_zeros(batch, heads, size, v.shape[-1]), q.new_zeros(batch, heads, size)
    cached, sums, means, outputs = [], [], [], []
    for t in range(time):
        start = t // SEGMENT * SEGMENT
        memory = memory + torch.einsum("bhk,bhv->bhkv", k[:, t], v[:, t])
        total = total + k[:, t]
        held = torch.stack([*cached, memory], dim=1)
        held_sum = torch.stack([*sums, total], dim=1)
        held_mean = torch.stack([*means, x[:, start : t + 1].mean(1)], dim=1)
        gates = torch.softmax(torch.einsum("be,bne->bn", u[:, t], held_mean), dim=-1)
        reads = torch.einsum("bhk,bnhkv->bnhv", q[:, t], held)
        reads = reads / torch.einsum("bhk,bnhk->bnh", q[:, t], held_sum)[..., None].clamp(min=1e-6)
        outputs.append(torch.einsum("bn,bnhv->bhv", gates, reads))
        if (t + 1) % SEGMENT == 0:
            cached.append(memory)
            sums.append(total)
            means.append(x[:, start : t + 1].mean(1))
    return torch.stack(outputs, dim=1), None


def rows() -> Iterator[Row]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(HEADS, SIZE)] * 3 + [(HEADS * SIZE,)] * 2
    leaves = [torch.randn(BATCH, TIME, *shape, generator=generator).requires_grad_() for shape in shapes]
    weights = torch.randn(BATCH, TIME, HEADS, SIZE, generator=generator)

    def ours(*x: Tensor) -> tuple[Tensor, object]:
        return gated_residual_memory(*x, segment=SEGMENT, impl="parallel")

    def unbound(*x: Tensor) -> tuple[Tensor, object]:
        return gated_residual_memory(*x, segment=SEGMENT, impl="naive")

    rivals = {"ours": ours, "indexed": indexed_loop, "unbound": unbound}
    runs = {name: fwd_bwd(function, leaves, weights) for name, function in rivals.items()}
    outputs = {name: (run(), [leaf.grad for leaf in leaves]) for name, run in runs.items()}
    for name in ("indexed", "unbound"):
        must_agree(outputs["ours"][0], outputs[name][0], 1e-6, f"segments and {name}, o")
        for leaf, found, right in zip("qkvux", outputs["ours"][1], outputs[name][1], strict=True):
            must_agree(found, right, 1e-5, f"segments and {name}, d{leaf}")
    exact, _ = gated_residual_memory(*(leaf.detach().double() for leaf in leaves), segment=SEGMENT, impl="naive")
    error = ((outputs["ours"][0] - exact).norm() / exact.norm()).item()
    yield Row("G8", "segments against the float64 loop, relative error", error, "", 1e-6, at_least=False)
    del outputs
    with torch.no_grad():
        forward = interleaved({name: lambda f=function: f(*leaves) for name, function in rivals.items()}, repeats=3)
    both = interleaved(runs, repeats=3)
    for name, bars in {"indexed": (8, 25), "unbound": (8, 8)}.items():
        yield Row("G8", f"segments over the {name} loop, forward", forward[name] / forward["ours"], bar=bars[0])
        yield Row("G8", f"segments over the {name} loop, forward and backward", both[name] / both["ours"], bar=bars[1])
