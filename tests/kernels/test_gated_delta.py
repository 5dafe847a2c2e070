"""Every implementation of the gated delta rule against the float64 loop: outputs and all gradients, by name."""

from __future__ import annotations

import pytest
import torch

from lib.kernels import gated_delta_rule, row_calls
from lib.kernels.gated_delta import chunk, compiled
from tests.kernels.cases import NAMES, assert_close, errors, evaluate, inputs

NO_COMPILER = compiled.why_not()
needs_compiler = pytest.mark.skipif(NO_COMPILER is not None, reason=str(NO_COMPILER))
IMPLS = ["naive", "chunk", pytest.param("compiled", marks=needs_compiler)]
FAST = IMPLS[1:]
LENGTHS = [0, 1, 2, 15, 16, 17, 63, 64, 65, 100, 123]
SHAPES = {"odd": (2, 3, 13, 37), "speech": (1, 6, 48, 96), "square": (1, 2, 64, 64)}
RANDOM_KEYS, CORRELATED_KEYS = 2e-6, 1e-5  # relative root mean square in float32, for each output and gradient


def case(shape: str, time: int, **options: float) -> dict[str, torch.Tensor]:
    batch, heads, key_size, value_size = SHAPES[shape]
    return inputs(batch, time, heads, key_size, value_size, **options)


def right(wanted: dict[str, torch.Tensor], **options: float) -> dict[str, torch.Tensor]:
    return evaluate(wanted, "naive", torch.float64, **options)


@pytest.mark.parametrize("time", LENGTHS)
@pytest.mark.parametrize("shape", ["odd", "speech"])
@pytest.mark.parametrize("impl", IMPLS)
def test_float32_is_right_at_every_length(impl, shape, time):
    wanted = case(shape, time)
    assert_close(evaluate(wanted, impl, scale=0.7), right(wanted, scale=0.7), RANDOM_KEYS)


@pytest.mark.parametrize("time", LENGTHS)
@pytest.mark.parametrize("impl", FAST)
def test_float64_is_right_to_the_last_digits(impl, time):
    wanted = case("odd", time)
    assert_close(evaluate(wanted, impl, torch.float64, scale=0.7), right(wanted, scale=0.7), 1e-13)


@pytest.mark.parametrize("beta", [0.9, 1.9])
@pytest.mark.parametrize("rho", [0.5, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("impl", IMPLS)
def test_correlated_keys_keep_their_digits(impl, decay, rho, beta):
    wanted = case("square", 128, decay=decay, rho=rho, beta=beta)
    assert_close(evaluate(wanted, impl), right(wanted), CORRELATED_KEYS)


@pytest.mark.parametrize("decay", [0.0, 1.0, 20.0, 200.0])
@pytest.mark.parametrize("impl", FAST)
def test_weak_and_strong_decay_keep_their_digits(impl, decay):
    wanted = case("odd", 123, decay=decay)
    assert_close(evaluate(wanted, impl), right(wanted), RANDOM_KEYS)


def sudden_decay() -> dict[str, torch.Tensor]:
    """Half of each chunk forgets at e^-100 a step, the other half hardly at all."""
    wanted = dict(case("odd", 123, decay=0.01))
    wanted["g"] = torch.where(torch.arange(123)[:, None] % 16 < 8, -100.0, wanted["g"])
    return wanted


@pytest.mark.parametrize("impl", FAST)
def test_sudden_decay_does_not_spoil_its_neighbours(impl):
    wanted = sudden_decay()
    assert_close(evaluate(wanted, impl), right(wanted), RANDOM_KEYS)


def test_sums_of_decays_in_float32_would_spoil_the_neighbours(monkeypatch):
    wanted = sudden_decay()
    monkeypatch.setattr(torch.Tensor, "double", torch.Tensor.float)
    found = evaluate(wanted, "chunk")
    monkeypatch.undo()
    found = {name: value.double() for name, value in found.items()}
    assert errors(found, right(wanted))["o"] > RANDOM_KEYS


@pytest.mark.parametrize("impl", FAST)
@pytest.mark.parametrize("forget", [-1e30, float("-inf")], ids=["-1e30", "-inf"])
def test_a_step_may_forget_everything(impl, forget):
    wanted = dict(case("odd", 40))
    wanted["g"] = wanted["g"].clone()
    wanted["g"][:, 20] = forget
    assert_close(evaluate(wanted, impl), right(wanted), RANDOM_KEYS)


@pytest.mark.parametrize("beta", [0.0, 2.0], ids=["nothing written", "full reflection"])
@pytest.mark.parametrize("impl", FAST)
def test_the_ends_of_beta(impl, beta):
    wanted = case("odd", 40, beta=beta)
    assert_close(evaluate(wanted, impl), right(wanted), RANDOM_KEYS)


@pytest.mark.parametrize("impl", IMPLS)
def test_step_by_step_equals_whole(impl):
    wanted = case("speech", 37)
    whole = right(wanted)
    state = wanted["initial_state"].float()
    steps = []
    for t in range(37):
        x = {name: wanted[name][:, t : t + 1].float() for name in NAMES[:-1]}
        o, state = gated_delta_rule(**x, initial_state=state, impl=impl)
        steps.append(o)
    found = {"o": torch.cat(steps, 1).double(), "state": state.double()}
    assert_close(found, {name: whole[name] for name in found}, RANDOM_KEYS)


@pytest.mark.parametrize("cut", [1, 15, 16, 40, 64])
@pytest.mark.parametrize("impl", IMPLS)
def test_a_state_handed_on_equals_one_call_gradients_too(impl, cut):
    wanted = case("odd", 65)
    leaves = {name: wanted[name].clone().requires_grad_() for name in NAMES}
    state, parts = leaves["initial_state"], []
    for part in (slice(None, cut), slice(cut, None)):
        o, state = gated_delta_rule(*(leaves[name][:, part] for name in NAMES[:-1]), initial_state=state, impl=impl)
        parts.append(o)
    o = torch.cat(parts, 1)
    loss = (o * wanted["weights_o"]).sum() + (state * wanted["weights_state"]).sum()
    grads = torch.autograd.grad(loss, list(leaves.values()))
    found = {"o": o.detach(), "state": state.detach()} | {f"d{name}": x for name, x in zip(NAMES, grads, strict=True)}
    assert_close(found, right(wanted), 1e-13)


@pytest.mark.parametrize("size", [1, 2, 5, 16, 32, 64])
def test_where_chunks_end_does_not_matter(monkeypatch, size):
    wanted = case("odd", 65)
    monkeypatch.setattr(chunk.chunk_gated_delta_rule, "__defaults__", (size,))
    assert_close(evaluate(wanted, "chunk", torch.float64), right(wanted), 1e-12)


@pytest.mark.parametrize("elements", [1, 8_000, 10**9], ids=["a chunk each", "several", "all at once"])
def test_where_stretches_end_does_not_matter(monkeypatch, elements):
    wanted = case("odd", 123)
    monkeypatch.setattr(chunk, "WORKING_SET", elements)
    assert_close(evaluate(wanted, "chunk", torch.float64), right(wanted), 1e-13)


@needs_compiler
@pytest.mark.parametrize("every", [1, 7, 32, 200])
def test_how_often_the_compiled_loop_keeps_a_state_does_not_matter(monkeypatch, every):
    wanted = case("odd", 123)
    monkeypatch.setattr(compiled, "EVERY", every)
    assert_close(evaluate(wanted, "compiled", torch.float64), right(wanted), 1e-13)


@pytest.mark.parametrize("impl", FAST)
def test_gradients_agree_with_differences(impl):
    wanted = case("odd", 19)
    leaves = [wanted[name][:1, :, :2, :3] if name in "qkv" else wanted[name] for name in NAMES]
    leaves = [x[:1, :, :2] if name in ("g", "beta") else x for name, x in zip(NAMES, leaves, strict=True)]
    leaves[-1] = leaves[-1][:1, :2, :3, :3]
    leaves[4] = leaves[4].clone()
    leaves[4][0, :2] = torch.tensor([0.0, 2.0])
    leaves = [x.clone().requires_grad_() for x in leaves]

    def run(*x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return gated_delta_rule(*x[:5], scale=0.7, initial_state=x[5], impl=impl)

    assert torch.autograd.gradcheck(run, leaves, fast_mode=True)


@pytest.mark.parametrize("impl", IMPLS)
def test_no_initial_state_is_a_zero_one(impl):
    wanted = {name: case("odd", 33)[name].float() for name in NAMES}
    zero = torch.zeros_like(wanted.pop("initial_state"))
    found, expected = gated_delta_rule(**wanted, impl=impl), gated_delta_rule(**wanted, initial_state=zero, impl=impl)
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))


@pytest.mark.parametrize("impl", IMPLS)
def test_any_memory_layout_is_served(impl):
    wanted = case("odd", 33)
    expected = evaluate(wanted, impl)
    turned = {name: x.transpose(0, -1).contiguous().transpose(0, -1) for name, x in wanted.items()}
    assert_close(evaluate(turned, impl), expected, 1e-6)
    leaf = wanted["v"].clone().requires_grad_()
    o, _ = gated_delta_rule(*(wanted[name] for name in "qk"), leaf, wanted["g"], wanted["beta"], impl=impl)
    o.sum().backward()  # a gradient that is one number, expanded
    assert torch.isfinite(leaf.grad).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("impl", IMPLS)
def test_half_precision_keeps_its_state_in_float32(impl, dtype):
    x = {name: case("odd", 33)[name].float() for name in NAMES}
    low = {name: value.to(dtype) if name != "initial_state" else value for name, value in x.items()}
    o, state = gated_delta_rule(**low, impl=impl)
    expected, expected_state = gated_delta_rule(**{name: value.float() for name, value in low.items()}, impl=impl)
    assert (o.dtype, state.dtype) == (dtype, torch.float32)
    assert torch.equal(o, expected.to(dtype))
    assert torch.equal(state, expected_state)


@pytest.mark.parametrize("impl", IMPLS)
def test_autocast_does_not_reach_the_state(impl):
    x = {name: case("odd", 33)[name].float() for name in NAMES}
    expected = gated_delta_rule(**x, impl=impl)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (x["k"][0, 0] @ x["k"][0, 0].T).dtype == torch.bfloat16
        found = gated_delta_rule(**x, impl=impl)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_second_derivatives_are_refused_except_by_the_loop():
    x = {name: case("odd", 5)[name].clone().requires_grad_() for name in NAMES}
    for impl in ("naive", "chunk"):
        o, _ = gated_delta_rule(**x, impl=impl)
        (first,) = torch.autograd.grad(o.square().sum(), x["v"], create_graph=True)
        if impl == "naive":
            first.sum().backward()
            assert x["k"].grad.abs().sum() > 0
        else:
            with pytest.raises(RuntimeError, match="once_differentiable"):
                first.sum().backward()


@needs_compiler
def test_the_number_of_threads_changes_nothing(monkeypatch):
    wanted = case("odd", 65)
    monkeypatch.setattr(row_calls, "WORTH_A_THREAD", 1)
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=threads: n)
        found.append(evaluate(wanted, "compiled"))
    assert all(torch.equal(found[0][name], other[name]) for other in found[1:] for name in found[0])
