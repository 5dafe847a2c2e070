"""G2: the compiled CPU recurrence against the fastest loops in torch, forward alone and with its backward pass."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from lib.kernels.gated_delta.compiled import why_not
from tests.bench.baselines import in_place_recurrence, unbound_recurrence
from tests.bench.gated_delta_inputs import implementation, leaves, stepped_flops
from tests.bench.measure import Row, fwd_bwd, interleaved, limits, must_agree

TIME = 1024


def rows() -> Iterator[Row]:
    if why_not():
        yield Row("G2", "compiled recurrence", untimed=why_not())
        return
    x, weights = leaves(TIME)
    compiled = implementation("compiled")
    must_agree(compiled(*x)[0].detach(), in_place_recurrence(*x)[0], 2e-6, "compiled and in place, o")

    @torch.no_grad()
    def forward() -> None:
        compiled(*x)

    seconds = interleaved({"compiled": forward, "in place": lambda: in_place_recurrence(*x)})
    share = stepped_flops(TIME, 4) / limits().matmul / seconds["compiled"]
    factor = seconds["in place"] / seconds["compiled"]
    yield Row("G2", f"compiled over the in-place loop, forward, T={TIME}", factor, bar=2.5, share=share)

    runs = {"compiled": fwd_bwd(compiled, x, weights), "unbound": fwd_bwd(unbound_recurrence, x, weights)}
    grads = {}
    for name, run in runs.items():
        run()
        grads[name] = [leaf.grad for leaf in x]
    for leaf, grad, right in zip("qkvgb", grads["compiled"], grads["unbound"], strict=True):
        must_agree(grad, right, 5e-6, f"compiled and unbound, d{leaf}")
    seconds = interleaved(runs)
    share = stepped_flops(TIME, 14) / limits().matmul / seconds["compiled"]
    factor = seconds["unbound"] / seconds["compiled"]
    yield Row("G2", f"compiled over the unbound loop, forward and backward, T={TIME}", factor, bar=4.5, share=share)
