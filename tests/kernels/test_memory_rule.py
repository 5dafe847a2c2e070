"""The public function of gated residual memory: what it refuses and in which words, what it picks and why."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lib.errors import BookError
from lib.kernels import explain, gated_residual_memory
from tests.kernels.memory_cases import NAMES, begun, inputs

OPTIONS = {
    "a segment of nothing": ({"segment": 0}, "segment=0; give the tokens of a segment, 1 or more"),
    "a segment of halves": ({"segment": 2.5}, "segment=2.5; give"),
    "an unknown aggregate": ({"aggregate": "mean"}, "aggregate='mean' .* use one of gated, residual, soup, sparse"),
    "an unknown mode": ({"mode": "restart"}, "mode='restart' .* use one of checkpoint, independent"),
    "an unknown feature map": ({"feature_map": "relu"}, "feature_map='relu' .* use one of elu1, identity"),
    "sparse without top_k": ({"aggregate": "sparse"}, "top_k=None with aggregate='sparse'; give top_k"),
    "top_k without sparse": ({"top_k": 2}, "top_k=2 with aggregate='gated'"),
    "top_k of nothing": ({"aggregate": "sparse", "top_k": 0}, "top_k=0; read 1 cached segment or more"),
    "reads that may vanish": ({"feature_map": "identity"}, "'identity' can make Z vanish; use normalise=False"),
    "an unknown impl": ({"impl": "fast"}, "impl='fast' .* use 'auto' or one of naive, parallel"),
}
TENSORS = {
    "q without heads": ("q", (2, 9, 4), r"q has shape \[2, 9, 4\]; .* wants \[B, T, H, K\]"),
    "k of another width": ("k", (2, 9, 3, 7), r"k has shape \[2, 9, 3, 7\]; .* must be \[2, 9, 3, 4\]"),
    "v without heads": ("v", (2, 9, 5), r"v has shape \[2, 9, 5\]; .* wants \[B, T, H, V\]"),
    "v of another length": ("v", (2, 8, 3, 5), r"v has shape \[2, 8, 3, 5\]; .* \[2, 9, 3, 5\]"),
    "u of another width": ("u", (2, 9, 7), r"u has shape \[2, 9, 7\]; .* \[2, 9, 6\]"),
    "x with heads": ("x", (2, 9, 3, 6), r"x has shape \[2, 9, 3, 6\]; .* wants \[B, T, E\]"),
}


def arguments(**replaced: object) -> dict[str, object]:
    return {name: inputs(9)[name] for name in NAMES} | {"segment": 4} | replaced


@pytest.mark.parametrize("wrong", OPTIONS)
def test_options_that_do_not_fit_are_refused_by_name(wrong):
    replaced, message = OPTIONS[wrong]
    with pytest.raises(BookError, match=message):
        gated_residual_memory(**arguments(**replaced))


@pytest.mark.parametrize("wrong", TENSORS)
def test_tensors_that_do_not_fit_are_refused_by_name(wrong):
    name, shape, message = TENSORS[wrong]
    for call in (gated_residual_memory, lambda **x: explain(gated_residual_memory, **x)):
        with pytest.raises(BookError, match=message):
            call(**arguments(**{name: torch.zeros(shape, dtype=torch.float64)}))


def test_dtypes_and_devices_must_agree():
    with pytest.raises(BookError, match=r"q is torch.int64; .* takes torch.float32"):
        gated_residual_memory(**arguments(q=torch.zeros(2, 9, 3, 4, dtype=torch.int64)))
    with pytest.raises(BookError, match=r"u is torch.float32; with q in torch.float64"):
        gated_residual_memory(**arguments(u=inputs(9)["u"].float()))
    with pytest.raises(BookError, match="x is on meta and q on cpu; move x to cpu"):
        gated_residual_memory(**arguments(x=inputs(9)["x"].to("meta")))


def test_states_of_other_sizes_are_refused():
    state = begun(11, 4, "checkpoint")
    with pytest.raises(BookError, match=r"initial_state.online has shape \[2, 3, 5, 4\]; .* \[2, 3, 4, 5\]"):
        gated_residual_memory(**arguments(initial_state=replace(state, online=state.online.mT)))
    with pytest.raises(BookError, match=r"initial_state.x_sum is torch.float32; .* torch.float64"):
        gated_residual_memory(**arguments(initial_state=replace(state, x_sum=state.x_sum.float())))
    with pytest.raises(BookError, match="initial_state has 3 tokens in its segment; give fewer than segment=2"):
        gated_residual_memory(**arguments(segment=2, initial_state=state))


def test_explain_says_what_is_picked():
    choice = explain(gated_residual_memory, **arguments())
    assert choice.impl == "parallel"
    one = {name: inputs(9)[name][:, :1] for name in NAMES}
    assert explain(gated_residual_memory, **one, segment=4).impl == "naive"
    assert "asked for" in explain(gated_residual_memory, **arguments(impl="naive")).reason
