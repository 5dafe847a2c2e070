"""G5: the Triton kernels on a GPU at B=4, T=1024, H=6, K=V=64 in bfloat16, and flash-linear-attention beside them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from statistics import median

import torch

from lib.kernels.gated_delta.rule import refusal
from tests.bench.gated_delta_inputs import implementation, leaves
from tests.bench.measure import Row, fwd_bwd, must_agree

TIME = 1024
TURNS = 50


def milliseconds(functions: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median device time of each function, all run in turn."""
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(TURNS + 5):
        for name, function in functions.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            function()
            end.record()
            torch.cuda.synchronize()
            if turn >= 5:
                taken[name].append(start.elapsed_time(end))
    return {name: median(times) for name, times in taken.items()}


def rows() -> Iterator[Row]:
    if not torch.cuda.is_available():
        yield Row("G5", "Triton kernels", untimed="no GPU")
        return
    x, weights = leaves(TIME)
    x = [
        leaf.detach().cuda().to(torch.bfloat16 if i < 3 else torch.float32).requires_grad_() for i, leaf in enumerate(x)
    ]
    why_not = refusal("triton", x[0], x[2])
    if why_not:
        yield Row("G5", "Triton kernels", untimed=why_not)
        return
    weights = weights.cuda().bfloat16()
    rivals = {"triton": implementation("triton")}
    must_agree(rivals["triton"](*x)[0].detach(), implementation("naive")(*x)[0].detach(), 1e-2, "triton and naive, o")
    if importlib.util.find_spec("fla") is not None:
        from fla.ops.gated_delta_rule import chunk_gated_delta_rule

        rivals["fla"] = lambda q, k, v, g, beta: chunk_gated_delta_rule(q, k, v, g, beta, scale=1.0)
        must_agree(rivals["triton"](*x)[0].detach(), rivals["fla"](*x)[0].detach(), 2e-2, "triton and fla, o")

    def forward(function: Callable) -> Callable[[], object]:
        return torch.no_grad()(lambda: function(*x))

    passes = {
        "forward": ({name: forward(function) for name, function in rivals.items()}, 0.2),
        "forward and backward": ({name: fwd_bwd(function, x, weights) for name, function in rivals.items()}, 0.8),
    }
    for what, (runs, bar) in passes.items():
        took = milliseconds(runs)
        yield Row("G5", f"Triton kernels, {what}", took["triton"], "ms", bar, at_least=False)
        if "fla" in took:
            yield Row("G5", f"Triton kernels over fla, {what}", took["fla"] / took["triton"], bar=1.0)
