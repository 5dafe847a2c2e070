"""The selective scan: every implementation against the loop in float64, outputs and gradients, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from lib.errors import BookError
from lib.kernels import explain, selective_scan
from lib.kernels.selective_scan import compiled

NO_COMPILER = compiled.why_not()
needs_compiler = pytest.mark.skipif(NO_COMPILER is not None, reason=str(NO_COMPILER))
IMPLS = ["naive", "parallel", pytest.param("compiled", marks=needs_compiler)]
NAMES = ("x", "dt", "a", "b", "c", "d", "initial_state")
SHAPES = {"odd": (2, 3, 5), "wide": (1, 37, 16), "lanes": (3, 16, 4)}


def case(shape: str, time: int, strongest: float = 4.0) -> dict[str, torch.Tensor]:
    """Float64 inputs by name, with weights that make a loss of both outputs."""
    batch, channels, states = SHAPES[shape]
    generator = torch.Generator().manual_seed(time)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    return {
        "x": normal(batch, time, channels),
        "dt": torch.rand(batch, time, channels, generator=generator, dtype=torch.float64),
        "a": -strongest * torch.rand(channels, states, generator=generator, dtype=torch.float64),
        "b": normal(batch, time, states),
        "c": normal(batch, time, states),
        "d": normal(channels),
        "initial_state": normal(batch, channels, states),
        "weights_y": normal(batch, time, channels),
        "weights_state": normal(batch, channels, states),
    }


def evaluate(inputs: dict[str, torch.Tensor], impl: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Outputs and all gradients by name, in float64."""
    given = {name: inputs[name].to(dtype).requires_grad_() for name in NAMES}
    y, state = selective_scan(**given, impl=impl)
    loss = (y * inputs["weights_y"].to(dtype)).sum() + (state * inputs["weights_state"].to(dtype)).sum()
    gradients = torch.autograd.grad(loss, list(given.values()), allow_unused=True)
    found = {"y": y, "state": state}
    found |= {f"d{name}": g for name, g in zip(NAMES, gradients, strict=True) if g is not None}
    return {name: value.detach().double() for name, value in found.items()}


def assert_close(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], tolerance: float) -> None:
    for name, value in wanted.items():
        error = (found[name] - value).square().mean().sqrt() / value.square().mean().sqrt().clamp_min(1e-12)
        assert error <= tolerance, f"{name} is off by {error:.2e}"


@pytest.mark.parametrize("time", [1, 2, 31, 32, 33, 64, 100])
@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("impl", IMPLS)
def test_float32_is_right(impl, shape, time):
    inputs = case(shape, time)
    assert_close(evaluate(inputs, impl, torch.float32), evaluate(inputs, "naive", torch.float64), 2e-6)


@pytest.mark.parametrize("time", [1, 33, 100])
@pytest.mark.parametrize("impl", IMPLS[1:])
def test_float64_is_right_to_the_last_digits(impl, time):
    inputs = case("odd", time)
    assert_close(evaluate(inputs, impl, torch.float64), evaluate(inputs, "naive", torch.float64), 1e-13)


@pytest.mark.parametrize("strongest", [0.0, 1e-4, 60.0, 1e5])
@pytest.mark.parametrize("impl", IMPLS[1:])
def test_weak_and_strong_decay_keep_their_digits(impl, strongest):
    inputs = case("wide", 70, strongest)
    assert_close(evaluate(inputs, impl, torch.float32), evaluate(inputs, "naive", torch.float64), 5e-6)


@pytest.mark.parametrize("impl", IMPLS)
def test_two_halves_are_the_whole(impl):
    inputs = {name: value.float() for name, value in case("odd", 50).items() if name in NAMES}
    y, last = selective_scan(**inputs, impl=impl)
    halves, state = [], inputs["initial_state"]
    for part in (slice(0, 19), slice(19, 50)):
        moved = {name: inputs[name][:, part] for name in ("x", "dt", "b", "c")}
        out, state = selective_scan(**moved, a=inputs["a"], d=inputs["d"], initial_state=state, impl=impl)
        halves.append(out)
    torch.testing.assert_close(torch.cat(halves, 1), y, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state, last, rtol=1e-5, atol=1e-5)


def test_gradcheck_of_the_loop():
    inputs = {name: value.requires_grad_() for name, value in case("odd", 4).items() if name in NAMES}

    def run(*given):
        return selective_scan(*given[:6], initial_state=given[6], impl="naive")

    assert torch.autograd.gradcheck(run, [inputs[name] for name in NAMES])


@needs_compiler
def test_threads_do_not_change_the_result():
    inputs = {name: value.float() for name, value in case("lanes", 64).items() if name in NAMES}
    inputs = {n: v if n in ("a", "d") else v.repeat(40, *[1] * (v.dim() - 1)) for n, v in inputs.items()}
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(selective_scan(**inputs, impl="compiled")[0])
        assert torch.equal(*results)
    finally:
        torch.set_num_threads(before)


def test_a_memory_that_neither_fades_nor_reads_what_it_wrote():
    """a = 0 sums dt b x; c = 0 leaves d x."""
    inputs = {name: value for name, value in case("odd", 9).items() if name in NAMES}
    inputs |= {"a": torch.zeros_like(inputs["a"]), "c": torch.zeros_like(inputs["c"])}
    y, state = selective_scan(**inputs)
    torch.testing.assert_close(y, inputs["d"] * inputs["x"])
    written = torch.einsum("bte,btn->ben", inputs["dt"] * inputs["x"], inputs["b"])
    torch.testing.assert_close(state, inputs["initial_state"] + written)


def test_empty_sequence_gives_the_state_back():
    inputs = {name: value[:, :0] if name in ("x", "dt", "b", "c") else value for name, value in case("odd", 3).items()}
    inputs = {name: inputs[name] for name in NAMES}
    y, state = selective_scan(**inputs)
    assert y.shape == (2, 0, 3)
    assert torch.equal(state, inputs["initial_state"])


def test_the_choice_is_told():
    inputs = {name: value for name, value in case("odd", 5).items() if name in NAMES}
    assert explain(selective_scan, **inputs, impl="parallel").impl == "parallel"
    assert explain(selective_scan, **inputs).impl in ("compiled", "parallel")
    with pytest.raises(BookError, match="no implementation"):
        selective_scan(**inputs, impl="magic")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", torch.zeros(2, 3)),
        ("x", torch.zeros(2, 4, 3, dtype=torch.float16)),
        ("a", torch.zeros(3)),
        ("dt", torch.zeros(2, 5, 3, dtype=torch.float64)),
        ("b", torch.zeros(2, 4, 4, dtype=torch.float64)),
        ("d", torch.zeros(3)),
        ("initial_state", torch.zeros(1, 3, 5, dtype=torch.float64)),
    ],
)
def test_what_does_not_fit_is_named(name, value):
    inputs = {key: value for key, value in case("odd", 4).items() if key in NAMES}
    with pytest.raises(BookError, match=f"^{name} "):
        selective_scan(**{**inputs, name: value})
