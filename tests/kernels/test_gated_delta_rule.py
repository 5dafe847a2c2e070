"""The public function: what it refuses and in which words, what it picks and why."""

from __future__ import annotations

import pytest
import torch

from lib.errors import BookError
from lib.kernels import explain, gated_delta_rule, native
from lib.kernels.gated_delta import compiled, rule

B, T, H, K, V = 2, 5, 3, 4, 6
SHAPES = {"q": (B, T, H, K), "k": (B, T, H, K), "v": (B, T, H, V), "g": (B, T, H), "beta": (B, T, H)}
STATE = (B, H, K, V)


def arguments(**replaced: torch.Tensor) -> dict[str, torch.Tensor]:
    return {name: torch.zeros(shape) for name, shape in SHAPES.items()} | replaced


WRONG = {
    "q without heads": ({"q": torch.zeros(B, T, K)}, r"q has shape \[2, 5, 4\]; .* wants \[B, T, H, K\]"),
    "q of integers": ({"q": torch.zeros(B, T, H, K, dtype=torch.int64)}, r"q is torch.int64; .* takes torch.float32"),
    "k of another width": ({"k": torch.zeros(B, T, H, 9)}, r"k has shape \[2, 5, 3, 9\]; .* \[2, 5, 3, 4\]"),
    "k in another dtype": ({"k": torch.zeros(B, T, H, K).double()}, r"k is torch.float64; .* must be torch.float32"),
    "v without heads": ({"v": torch.zeros(B, T, V)}, r"v has shape \[2, 5, 6\]; .* wants \[B, T, H, V\]"),
    "v of another length": ({"v": torch.zeros(B, 4, H, V)}, r"v has shape \[2, 4, 3, 6\]; .* \[2, 5, 3, 6\]"),
    "g per column": ({"g": torch.zeros(B, T, H, K)}, r"g has shape \[2, 5, 3, 4\]; .* \[B, T, H\] = \[2, 5, 3\]"),
    "g in float64": ({"g": torch.zeros(B, T, H).double()}, r"g is torch.float64; with q in torch.float32"),
    "beta for one head": ({"beta": torch.zeros(B, T, 1)}, r"beta has shape \[2, 5, 1\]; .* \[2, 5, 3\]"),
    "beta elsewhere": (
        {"beta": torch.zeros(B, T, H, device="meta")},
        r"beta is on meta and q on cpu; move beta to cpu",
    ),
    "state turned": (
        {"initial_state": torch.zeros(B, H, V, K)},
        r"initial_state has shape \[2, 3, 6, 4\]; .* \[2, 3, 4, 6\]",
    ),
    "state in bfloat16": (
        {"initial_state": torch.zeros(STATE).bfloat16()},
        r"initial_state is torch.bfloat16; .* torch.float32",
    ),
    "an unknown impl": (
        {"impl": "fast"},
        r"impl='fast' is no implementation .* 'auto' or one of chunk, compiled, naive, triton",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_arguments_are_refused_by_name(wrong):
    replaced, message = WRONG[wrong]
    for call in (gated_delta_rule, rule.explain_gated_delta_rule):
        with pytest.raises(BookError, match=message):
            call(**arguments(**replaced))


def test_gates_may_be_float32_beside_bfloat16():
    low = {name: torch.zeros(SHAPES[name]).bfloat16() for name in "qkv"}
    o, state = gated_delta_rule(**arguments(**low))
    assert (o.dtype, state.dtype) == (torch.bfloat16, torch.float32)


def test_nothing_in_nothing_out():
    empty = {name: torch.zeros(B, 0, *shape[2:], requires_grad=True) for name, shape in SHAPES.items()}
    state = torch.ones(STATE, requires_grad=True)
    o, final = gated_delta_rule(**empty, initial_state=state)
    assert o.shape == (B, 0, H, V)
    assert torch.equal(final, state)
    (o.sum() + final.sum()).backward()
    assert torch.equal(state.grad, torch.ones(STATE))
    final.data.zero_()
    assert state.sum() == state.numel()  # the state that comes back is the caller's own


def test_explain_says_what_is_picked_and_what_is_not(monkeypatch):
    monkeypatch.setattr(compiled, "why_not", lambda: None)
    choice = explain(gated_delta_rule, **arguments())
    assert choice.impl == "compiled"
    assert "C" in choice.reason
    assert "triton" in choice.refused
    assert str(choice).startswith("gated_delta_rule: compiled (")
    assert explain("gated_delta_rule", **arguments(), impl="naive").impl == "naive"
    with pytest.raises(BookError, match="kernel='attention' is not known; explain covers gated_"):
        explain("attention")


@pytest.fixture
def no_compiler(monkeypatch):
    """A machine whose CC names nothing."""
    monkeypatch.setenv("CC", "no-such-compiler")
    for cached in (native.load, compiled.why_not):
        cached.cache_clear()
    yield
    for cached in (native.load, compiled.why_not):
        cached.cache_clear()


def test_without_a_compiler_auto_takes_chunks_and_says_so(no_compiler):
    choice = explain(gated_delta_rule, **arguments())
    assert choice.impl == "chunk"
    assert "no C compiler: 'no-such-compiler' is not on the PATH" in choice.refused["compiled"]
    with pytest.raises(BookError, match="impl='compiled' cannot serve gated_delta_rule here: no C compiler"):
        gated_delta_rule(**arguments(), impl="compiled")
    one = {name: torch.zeros(B, 1, *shape[2:]) for name, shape in SHAPES.items()}
    assert explain(gated_delta_rule, **one).impl == "naive"


def test_other_devices_take_torch_and_allocate_nothing():
    meta = {name: torch.zeros(shape, device="meta", requires_grad=True) for name, shape in SHAPES.items()}
    choice = explain(gated_delta_rule, **meta)
    assert choice.impl == "chunk"
    assert choice.refused["compiled"] == "it runs on a CPU and q is on meta"
    o, state = gated_delta_rule(**meta)
    assert (o.shape, state.shape) == ((B, T, H, V), STATE)
    assert o.device.type == "meta"
