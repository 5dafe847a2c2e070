"""The Triton kernels against the float64 loop: on the GPU where there is one, else in Triton's interpreter.

The interpreter runs the kernels' text on a CPU: it proves the algorithm and the indexing, not the speed. It also cuts
bfloat16 off where a GPU rounds, so its tolerance there is almost four times as wide.
"""

from __future__ import annotations

import importlib.util

import pytest
import torch

from lib.errors import BookError
from lib.kernels import explain, gated_delta_rule
from tests.kernels.cases import NAMES, assert_close, errors, evaluate, inputs

if importlib.util.find_spec("triton") is None:
    pytest.skip("the package triton is not installed (the extra `gpu` brings it)", allow_module_level=True)

GPU = torch.cuda.is_available()
DEVICE = "cuda" if GPU else "cpu"
SIZES = [(1, 1, 1, 16, 16), (2, 33, 2, 13, 37), (1, 45, 1, 48, 96)]
SIZES += [(2, 123, 3, 64, 64), (4, 1024, 6, 64, 64), (1, 100, 2, 128, 256)] if GPU else []
FLOAT32, CORRELATED, BFLOAT16 = 2e-6, 1e-5, 8e-3 if GPU else 3e-2


@pytest.fixture(scope="module", autouse=True)
def interpreter():
    """Without a GPU, Triton's interpreter, for this module alone."""
    with pytest.MonkeyPatch.context() as patch:
        if not GPU:
            patch.setenv("TRITON_INTERPRET", "1")
        yield


def case(*size: int, **options: float) -> dict[str, torch.Tensor]:
    return {name: x.to(DEVICE) for name, x in inputs(*size, **options).items()}


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_float32_outputs_and_gradients(size):
    wanted = case(*size)
    found, right = evaluate(wanted, "triton", scale=0.7), evaluate(wanted, "naive", torch.float64, scale=0.7)
    assert_close(found, right, FLOAT32)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_bfloat16_outputs_and_gradients(size):
    wanted = case(*size)
    right = evaluate(wanted, "naive", torch.float64)
    found = evaluate(wanted, "triton", torch.bfloat16)
    assert_close(found, right, BFLOAT16)
    assert max(errors(found, right).values()) > FLOAT32  # it did run in bfloat16


@pytest.mark.parametrize("rho", [0.5, 1.0])
def test_correlated_keys_keep_their_digits(rho):
    wanted = case(1, 64, 1, 64, 32, rho=rho, beta=1.9)
    assert_close(evaluate(wanted, "triton"), evaluate(wanted, "naive", torch.float64), CORRELATED)


def test_the_ends_of_beta_and_of_decay():
    wanted = dict(case(1, 40, 1, 16, 16))
    wanted["beta"], wanted["g"] = wanted["beta"].clone(), wanted["g"].clone()
    wanted["beta"][:, :3] = torch.tensor([0.0, 2.0, 0.0], device=DEVICE)[:, None]
    wanted["g"][:, 20] = float("-inf")
    wanted["g"][:, 30] = -100.0
    assert_close(evaluate(wanted, "triton"), evaluate(wanted, "naive", torch.float64), FLOAT32)


def test_memory_that_was_never_written_is_never_read():
    wanted = case(1, 33, 1, 13, 37)
    clean = evaluate(wanted, "triton")
    torch.use_deterministic_algorithms(True)  # fills what torch.empty returns with NaN
    try:
        assert_close(evaluate(wanted, "triton"), clean, 1e-6)
    finally:
        torch.use_deterministic_algorithms(False)


def test_what_these_kernels_cannot_serve_is_said():
    x = {name: value.float() for name, value in case(1, 3, 1, 4, 4).items() if name in NAMES}
    wide = {name: value.float() for name, value in case(1, 3, 1, 200, 4).items() if name in NAMES}
    assert explain(gated_delta_rule, **x, impl="triton").impl == "triton"
    with pytest.raises(BookError, match="it holds keys of at most 128 columns, not 200"):
        gated_delta_rule(**wide, impl="triton")
    with pytest.raises(BookError, match="it takes float32 and bfloat16, not torch"):
        gated_delta_rule(**{name: value.double() for name, value in x.items()}, impl="triton")
    assert (explain(gated_delta_rule, **x).impl == "triton") is GPU
