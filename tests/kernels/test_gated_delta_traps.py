"""The mistakes that were measured once, kept out: each test also shows that it would see the mistake."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lib.kernels import gated_delta_rule
from lib.kernels.gated_delta import chunk
from tests.bench.baselines import indexed_recurrence
from tests.kernels.cases import NAMES, errors, evaluate, inputs


class Written(TorchDispatchMode):
    """Counts the elements that the operations under it bring forth."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for x in out if isinstance(out, (tuple, list)) else (out,):
            is_view = isinstance(x, torch.Tensor) and x._base is not None
            self.elements += 0 if is_view or not isinstance(x, torch.Tensor) else x.numel()
        return out


def written_backwards(function, time: int) -> int:
    case = inputs(1, time, 2, 4, 4)
    leaves = {name: case[name].clone().requires_grad_() for name in NAMES[:-1]}
    o = function(**leaves)[0]
    with Written() as counter:
        o.sum().backward()
    return counter.elements


@pytest.mark.parametrize("impl", ["naive", "chunk"])
def test_backward_is_linear_in_time(impl):
    def run(**leaves):
        return gated_delta_rule(**leaves, impl=impl)

    assert written_backwards(run, 512) < 4.4 * written_backwards(run, 128)


def test_an_indexed_loop_is_seen_to_be_quadratic():
    assert written_backwards(indexed_recurrence, 512) > 10 * written_backwards(indexed_recurrence, 128)


def doubled_inverse(lower: torch.Tensor) -> torch.Tensor:
    """(I + lower)^-1 = (I - lower)(I + lower^2)(I + lower^4)...: exact on paper."""
    identity = torch.eye(lower.shape[-1], dtype=lower.dtype)
    inverse, power = identity - lower, lower
    for _ in range(lower.shape[-1].bit_length() - 1):
        power = power @ power
        inverse = inverse @ (identity + power)
    return inverse


def test_a_doubled_inverse_passes_on_random_keys_and_fails_on_correlated_ones(monkeypatch):
    far = {}
    for rho in (0.0, 0.9):
        case = inputs(1, 128, 2, 64, 64, rho=rho, beta=1.9 if rho else 0.5)
        right = evaluate(case, "naive", torch.float64)
        ours = errors(evaluate(case, "chunk"), right)
        monkeypatch.setattr(chunk, "_unit_lower_inverse", doubled_inverse)
        far[rho] = errors(evaluate(case, "chunk"), right)
        monkeypatch.undo()
        assert max(ours.values()) < 1e-5
    assert max(far[0.0].values()) < 1e-5
    assert not max(far[0.9].values()) < 1e-4


@pytest.mark.parametrize("impl", ["naive", "chunk", "auto"])
def test_memory_that_was_never_written_is_never_read(impl):
    case = inputs(2, 37, 3, 13, 37)
    clean = evaluate(case, impl)
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # fills what torch.empty returns with NaN
    try:
        assert torch.empty(3).isnan().all()
        poisoned = evaluate(case, impl)
    finally:
        torch.use_deterministic_algorithms(before)
    assert all(torch.equal(clean[name], poisoned[name]) for name in clean)
    assert all(torch.isfinite(value).all() for value in poisoned.values())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="MALLOC_PERTURB_ belongs to glibc")
def test_scratch_memory_of_the_compiled_loop_is_never_read_unwritten():
    """With MALLOC_PERTURB_ glibc fills fresh memory with 0x7f, which as float32 is 3.4e38."""
    code = (
        "import ctypes, torch; from tests.kernels.cases import evaluate, inputs\n"
        "malloc = ctypes.CDLL(None).malloc; malloc.restype = ctypes.c_void_p\n"
        "print(ctypes.string_at(malloc(5_000), 5_000).count(b'\\x7f'))\n"
        "torch.set_num_threads(1)\n"
        "found = evaluate(inputs(2, 37, 3, 13, 37), 'auto')\n"
        "print([x.sum().item().hex() for x in found.values()])\n"
    )
    said = {}
    for perturb in ("0", "128"):
        env = {**os.environ, "MALLOC_PERTURB_": perturb, "OMP_NUM_THREADS": "1"}
        run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        said[perturb] = run.stdout.splitlines()
    if said["128"][0] != "5000":
        pytest.skip("this C library does not fill fresh memory")
    assert said["0"][1] == said["128"][1]
