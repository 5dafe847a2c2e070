"""The segment-parallel form of gated residual memory against its loop over tokens: outputs, states, all gradients."""

from __future__ import annotations

import pytest
import torch

from lib.kernels import gated_residual_memory, memory_gates
from lib.kernels.memory import MemoryState
from tests.kernels.cases import assert_close
from tests.kernels.memory_cases import NAMES, begun, evaluate, inputs

SEGMENT = 8
LENGTHS = [1, 2, 7, 8, 9, 16, 37, 63]
OPTIONS = {
    f"{aggregate}-{mode}-{'normalised' if normalise else 'plain'}": {
        "aggregate": aggregate,
        "top_k": 2 if aggregate == "sparse" else None,
        "mode": mode,
        "normalise": normalise,
    }
    for aggregate in ("gated", "residual", "soup", "sparse")
    for mode in ("checkpoint", "independent")
    for normalise in (True, False)
}
options = pytest.mark.parametrize("chosen", OPTIONS.values(), ids=OPTIONS.keys())


@options
@pytest.mark.parametrize("time", LENGTHS)
def test_segments_at_once_equal_token_by_token(chosen, time):
    case = inputs(time)
    expected = evaluate(case, "naive", segment=SEGMENT, **chosen)
    assert_close(evaluate(case, "parallel", segment=SEGMENT, **chosen), expected, 1e-10)


@options
@pytest.mark.parametrize("earlier", [3, 8, 21])
def test_both_go_on_from_a_state_alike_gradients_too(chosen, earlier):
    case, state = inputs(19), begun(earlier, SEGMENT, chosen["mode"])
    expected = evaluate(case, "naive", state, segment=SEGMENT, **chosen)
    assert_close(evaluate(case, "parallel", state, segment=SEGMENT, **chosen), expected, 1e-12)


@options
@pytest.mark.parametrize("impl", ["naive", "parallel"])
@pytest.mark.parametrize("cuts", [[1], [8], [13], [5, 16, 17, 30]], ids=str)
def test_a_stream_in_parts_equals_one_call(chosen, impl, cuts):
    case = {name: inputs(37)[name] for name in NAMES}
    whole, last = gated_residual_memory(**case, segment=SEGMENT, impl=impl, **chosen)
    parts, state = [], None
    for start, stop in zip([0, *cuts], [*cuts, 37], strict=True):
        part = {name: x[:, start:stop] for name, x in case.items()}
        o, state = gated_residual_memory(**part, segment=SEGMENT, initial_state=state, impl=impl, **chosen)
        parts.append(o)
    found = {"o": torch.cat(parts, 1), **state.tensors()}
    assert state.filled == last.filled == 37 % SEGMENT
    assert_close(found, {"o": whole, **last.tensors()}, 1e-12)


@pytest.mark.parametrize("segment", [1, 2, 5, 36, 37, 100])
def test_any_length_of_segment_is_served(segment):
    case = inputs(37)
    assert_close(evaluate(case, "parallel", segment=segment), evaluate(case, "naive", segment=segment), 1e-12)


@options
@pytest.mark.parametrize("impl", ["naive", "parallel"])
def test_the_future_cannot_be_seen(chosen, impl):
    case = {name: inputs(37)[name] for name in NAMES}
    other = {name: torch.cat((x[:, :20], inputs(37, seed=1)[name][:, 20:]), 1) for name, x in case.items()}
    first, second = (gated_residual_memory(**x, segment=SEGMENT, impl=impl, **chosen)[0] for x in (case, other))
    torch.testing.assert_close(first[:, :20], second[:, :20], rtol=1e-13, atol=1e-13)
    assert (first[:, 20:] - second[:, 20:]).abs().min() > 0


@options
def test_float32_stays_near_float64(chosen):
    case = inputs(63)
    found = evaluate(case, "parallel", dtype=torch.float32, segment=SEGMENT, **chosen)
    assert_close(found, evaluate(case, "naive", segment=SEGMENT, **chosen), 2e-6)


def test_gradients_agree_with_differences():
    leaves = [inputs(11, batch=1, heads=2)[name].clone().requires_grad_() for name in NAMES]

    def run(*x: torch.Tensor) -> torch.Tensor:
        return gated_residual_memory(*x, segment=4, impl="parallel")[0]

    assert torch.autograd.gradcheck(run, leaves, fast_mode=True)


@pytest.mark.parametrize("aggregate", ["gated", "residual", "sparse"])
def test_gates_are_what_one_hot_values_read(aggregate):
    """Independent memories of which each holds only its own number answer with that number: the output is the gates."""
    case = {name: inputs(29)[name] for name in NAMES}
    segments = -(-29 // SEGMENT)
    case["v"] = torch.eye(segments, dtype=torch.float64)[torch.arange(29) // SEGMENT][:, None].expand(2, -1, 3, -1)
    chosen = {"segment": SEGMENT, "aggregate": aggregate, "top_k": 1 if aggregate == "sparse" else None}
    o, _ = gated_residual_memory(**case, **chosen, mode="independent", impl="naive")
    gates = memory_gates(case["u"], case["x"], **chosen)
    torch.testing.assert_close(o, gates[:, :, None].expand_as(o), rtol=1e-12, atol=1e-12)


def test_gates_go_on_from_a_state():
    case = {name: inputs(37)[name] for name in NAMES}
    whole = memory_gates(case["u"], case["x"], segment=SEGMENT)
    _, state = gated_residual_memory(**{name: x[:, :21] for name, x in case.items()}, segment=SEGMENT)
    part = memory_gates(case["u"][:, 21:], case["x"][:, 21:], segment=SEGMENT, initial_state=state)
    torch.testing.assert_close(part, whole[:, 21:], rtol=1e-12, atol=1e-12)


def test_sparse_gates_keep_the_strongest_and_the_current():
    case = inputs(63)
    gated = memory_gates(case["u"], case["x"], segment=SEGMENT)
    sparse = memory_gates(case["u"], case["x"], segment=SEGMENT, aggregate="sparse", top_k=2)
    own = torch.arange(63) // SEGMENT
    assert torch.equal((sparse > 0).sum(-1), (1 + own.clamp_max(2)).expand(2, -1))
    last = sparse[:, -1, :-1]
    assert torch.equal(last.topk(2).indices, gated[:, -1, :-1].topk(2).indices)
    torch.testing.assert_close(sparse.sum(-1), torch.ones_like(sparse.sum(-1)))


def test_enough_top_k_is_no_selection():
    case = inputs(63)
    chosen = {"segment": SEGMENT, "aggregate": "sparse", "top_k": 20}
    assert_close(evaluate(case, "parallel", **chosen), evaluate(case, "parallel", segment=SEGMENT), 1e-12)


def test_one_segment_is_linear_attention():
    """Nothing is cached, every aggregate is the plain normalised read."""
    case = {name: inputs(9)[name] for name in NAMES}
    q, k = (torch.nn.functional.elu(case[name]) + 1 for name in "qk")
    weights = torch.einsum("bthk,bshk->bhts", q, k).tril()
    plain = torch.einsum("bhts,bshv->bthv", weights / weights.sum(-1, keepdim=True), case["v"])
    for aggregate in ("gated", "residual", "soup"):
        o, _ = gated_residual_memory(**case, segment=9, aggregate=aggregate)
        torch.testing.assert_close(o, plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_keeps_its_memory_in_float32(dtype):
    low = {name: inputs(37)[name].to(dtype) for name in NAMES}
    o, state = gated_residual_memory(**low, segment=SEGMENT)
    expected, right = gated_residual_memory(**{name: x.float() for name, x in low.items()}, segment=SEGMENT)
    assert (o.dtype, state.online.dtype) == (dtype, torch.float32)
    assert torch.equal(o, expected.to(dtype))
    assert torch.equal(state.cached, right.cached)


def test_autocast_does_not_reach_the_memory():
    case = {name: inputs(37)[name].float() for name in NAMES}
    expected, _ = gated_residual_memory(**case, segment=SEGMENT)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(gated_residual_memory(**case, segment=SEGMENT)[0], expected)


def test_a_state_counts_its_numbers():
    _, state = gated_residual_memory(**{name: inputs(17)[name] for name in NAMES}, segment=SEGMENT)
    memory = 3 * 4 * 5 + 3 * 4
    assert state.numbers() == 2 * (memory + 6) + memory + 6


def test_nothing_in_nothing_out():
    case = {name: inputs(5)[name][:, :0] for name in NAMES}
    state = begun(11, SEGMENT, "checkpoint")
    o, after = gated_residual_memory(**case, segment=SEGMENT, initial_state=state)
    assert o.shape == (2, 0, 3, 5)
    assert after is state
    assert gated_residual_memory(**case, segment=SEGMENT)[1].numbers() == MemoryState.empty(1, 3, 4, 5, 6).numbers()
