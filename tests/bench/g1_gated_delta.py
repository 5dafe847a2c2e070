"""G1: the chunked gated delta rule in plain torch, forward and backward, against two ways to write the loop.

The unbound loop is the honest rival. An indexed loop is what references publish; most of the factor over it is its own
quadratic backward pass, so it is measured at one length only.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.baselines import indexed_recurrence, unbound_recurrence
from tests.bench.gated_delta_inputs import chunked_flops, implementation, leaves
from tests.bench.measure import Row, fwd_bwd, interleaved, limits, must_agree


def rows() -> Iterator[Row]:
    took = {}
    for time in (1024, 4096):
        rivals = {"chunk": implementation("chunk"), "unbound": unbound_recurrence}
        if time == 1024:
            rivals["indexed"] = indexed_recurrence
        x, weights = leaves(time)
        runs = {name: fwd_bwd(function, x, weights) for name, function in rivals.items()}
        outputs = {name: (run(), [leaf.grad for leaf in x]) for name, run in runs.items()}
        o, grads = outputs.pop("chunk")
        for name, (right, right_grads) in outputs.items():
            must_agree(o, right, 2e-6, f"chunk and {name}, o at T={time}")
            for leaf, grad, right_grad in zip("qkvgb", grads, right_grads, strict=True):
                must_agree(grad, right_grad, 5e-6, f"chunk and {name}, d{leaf} at T={time}")
        del outputs, o, grads, right, right_grads, grad, right_grad
        seconds = interleaved(runs)
        took[time] = seconds["chunk"]
        share = chunked_flops(time) / limits().matmul / seconds["chunk"]
        yield Row("G1", f"chunk over the unbound loop, T={time}", seconds["unbound"] / took[time], bar=3.5, share=share)
        if "indexed" in seconds:
            yield Row(
                "G1", f"chunk over an indexed loop, T={time}", seconds["indexed"] / took[time], bar=20, share=share
            )
    growth = took[4096] / took[1024]
    yield Row("G1", "chunk, time at T=4096 over T=1024", growth, bar=4.4, at_least=False)
