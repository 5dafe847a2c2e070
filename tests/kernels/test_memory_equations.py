"""Each numbered equation of lib/kernels/memory/README.md, evaluated on random numbers in float64.

1 to 12 are held against the code. 13 to 19 are statements with a condition: each is shown where the condition holds,
and shown to fail where it does not.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lib.kernels import gated_residual_memory, memory, memory_gates
from tests.kernels.memory_cases import NAMES, inputs

README = Path(memory.__file__).with_name("README.md")
S, T = 8, 29
OWN = torch.arange(T) // S
N = int(OWN[-1]) + 1


@pytest.fixture
def case() -> dict[str, Tensor]:
    return {name: inputs(T, heads=1)[name] for name in NAMES}


def phi(x: Tensor) -> Tensor:
    return F.elu(x)[:, :, 0] + 1  # [B, T, K], the one head


def out(case: dict[str, Tensor], **options: object) -> Tensor:
    return gated_residual_memory(**case, segment=S, **options)[0][:, :, 0]  # [B, T, V]


def copies(case: dict[str, Tensor], mode: str) -> tuple[Tensor, Tensor]:
    """Equations 1 and 2: what token t reads of segment i, its own included: M [B, T, N, K, V] and Z [B, T, N]."""
    keys, values = phi(case["k"]), case["v"][:, :, 0]
    writes = keys[..., :, None] * values[..., None, :]
    held = torch.zeros(2, T, N, *writes.shape[2:], dtype=torch.float64)
    sums = torch.zeros(2, T, N, keys.shape[-1], dtype=torch.float64)
    for t in range(T):
        for i in range(int(OWN[t]) + 1):
            stop = min(t + 1, (i + 1) * S)
            start = 0 if mode == "checkpoint" else i * S
            held[:, t, i], sums[:, t, i] = writes[:, start:stop].sum(1), keys[:, start:stop].sum(1)
    return held, torch.einsum("btk,btik->bti", phi(case["q"]), sums)


def scores(case: dict[str, Tensor]) -> Tensor:
    """Equation 3, with minus infinity for what token t cannot see."""
    found = torch.full((2, T, N), -torch.inf, dtype=torch.float64)
    for t in range(T):
        for i in range(int(OWN[t]) + 1):
            found[:, t, i] = (case["u"][:, t] * case["x"][:, i * S : min(t + 1, (i + 1) * S)].mean(1)).sum(-1)
    return found


def close(found: Tensor, right: Tensor) -> None:
    torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)


def far(found: Tensor, right: Tensor) -> bool:
    return bool((found - right).norm() > 0.05 * right.norm())


def test_equations_3_and_4(case):
    close(memory_gates(case["u"], case["x"], segment=S), scores(case).softmax(-1))


def test_equation_5(case):
    kept = scores(case)
    for t in range(T):
        n = int(OWN[t])
        for b in range(2):
            dropped = kept[b, t, :n].argsort(descending=True)[2:]
            kept[b, t, dropped] = -torch.inf
    close(memory_gates(case["u"], case["x"], segment=S, aggregate="sparse", top_k=2), kept.softmax(-1))


@pytest.mark.parametrize("mode", ["checkpoint", "independent"])
@pytest.mark.parametrize("aggregate", ["gated", "residual"])
def test_equations_1_2_and_6(case, mode, aggregate):
    held, z = copies(case, mode)
    gates = scores(case).softmax(-1) if aggregate == "gated" else torch.isfinite(scores(case)).double()
    reads = torch.einsum("btk,btikv->btiv", phi(case["q"]), held)
    close(out(case, mode=mode, aggregate=aggregate, normalise=False), (gates[..., None] * reads).sum(2))
    normalised = reads / z.clamp_min(1e-6)[..., None]
    close(out(case, mode=mode, aggregate=aggregate), (gates[..., None] * normalised).sum(2))


@pytest.mark.parametrize("mode", ["checkpoint", "independent"])
def test_equation_7(case, mode):
    held, z = copies(case, mode)
    gates = scores(case).softmax(-1)
    mean = torch.einsum("bti,btikv->btkv", gates, held)
    right = torch.einsum("btk,btkv->btv", phi(case["q"]), mean) / (gates * z).sum(-1, keepdim=True)
    close(out(case, mode=mode, aggregate="soup"), right)


@pytest.mark.parametrize("mode", ["checkpoint", "independent"])
def test_equations_8_to_12(case, mode):
    """Segment 2, from whole matrices; un-normalised, as (10) and (11) stand, and divided as (12) says."""
    q, k, v = (x.unflatten(1, (-1, S)) for x in (phi(case["q"])[:, :24], phi(case["k"])[:, :24], case["v"][:, :24, 0]))
    writes = k.mT @ v  # (8)
    ends = writes.cumsum(1) if mode == "checkpoint" else writes
    before = ends[:, 1] if mode == "checkpoint" else torch.zeros_like(ends[:, 1])
    online = (q[:, 2] @ k[:, 2].mT).tril() @ v[:, 2] + q[:, 2] @ before  # (9)
    gates = memory_gates(case["u"], case["x"], segment=S)[:, 16:24]
    ten = sum(gates[..., i, None] * (q[:, 2] @ ends[:, i]) for i in range(2))  # (10)
    tall = torch.cat((ends[:, 0], ends[:, 1]), dim=1)
    eleven = torch.cat([gates[..., i, None] * q[:, 2] for i in range(2)], dim=-1) @ tall  # (11)
    close(eleven, ten)
    twelve = gates[..., 2, None] * online + eleven  # (12)
    close(out(case, mode=mode, normalise=False)[:, 16:24], twelve)
    z = (gates * copies(case, mode)[1][:, 16:24]).sum(-1, keepdim=True)
    close(out(case, mode=mode, aggregate="soup")[:, 16:24], twelve / z)


@pytest.mark.parametrize("mode", ["checkpoint", "independent"])
def test_equation_13_residual_without_normalisation_is_one_state(case, mode):
    times = OWN[:, None] - OWN[None, :] + 1 if mode == "checkpoint" else torch.ones(T, T)
    weights = (times * (phi(case["q"]) @ phi(case["k"]).mT)).tril()
    one_state = weights @ case["v"][:, :, 0]
    close(out(case, mode=mode, aggregate="residual", normalise=False), one_state)
    normalised = one_state / weights.sum(-1, keepdim=True)
    found = out(case, mode=mode, aggregate="residual")
    close(found[:, :S], normalised[:, :S])  # one segment, one read
    assert far(found[:, S:], normalised[:, S:])
    read_per_segment = found[:, S:] / (OWN[S:, None] + 1)
    assert far(read_per_segment, normalised[:, S:])  # nor is it one state read several times


@pytest.mark.parametrize("mode", ["checkpoint", "independent"])
def test_equation_14_soup_is_gated_without_normalisation_only(case, mode):
    plain = {"mode": mode, "normalise": False}
    close(out(case, aggregate="soup", **plain), out(case, aggregate="gated", **plain))
    assert far(out(case, aggregate="soup", mode=mode)[:, S:], out(case, aggregate="gated", mode=mode)[:, S:])


def test_equation_14_holds_normalised_too_where_all_z_are_equal(case):
    """Every segment repeats the keys of the first; at the last token of each, independent memories have one Z."""
    case["k"] = case["k"][:, :S].repeat(1, 4, 1, 1)[:, :T]
    soup, gated = (out(case, aggregate=name, mode="independent") for name in ("soup", "gated"))
    close(soup[:, S - 1 :: S], gated[:, S - 1 :: S])
    assert far(soup[:, S : 2 * S - 1], gated[:, S : 2 * S - 1])


def test_equation_15_gates_in_proportion_to_z_undo_the_cache(case):
    _, z = copies(case, "independent")
    case["x"] = torch.eye(N, dtype=torch.float64)[OWN].expand(2, -1, -1)
    case["u"] = z.clamp_min(1e-300).log()
    weights = (phi(case["q"]) @ phi(case["k"]).mT).tril()
    plain = (weights / weights.sum(-1, keepdim=True)) @ case["v"][:, :, 0]
    close(out(case, mode="independent"), plain)
    assert far(out(case, mode="checkpoint")[:, S:], plain[:, S:])
    case["u"] = torch.zeros_like(case["u"])
    assert far(out(case, mode="independent")[:, S:], plain[:, S:])  # equal gates are not these gates


@pytest.mark.parametrize("mode", ["checkpoint", "independent"])
def test_equation_16_gated_copies_are_attention_with_a_weight_per_segment(case, mode):
    gates = memory_gates(case["u"], case["x"], segment=S)  # [B, T, N]
    later = gates.flip(-1).cumsum(-1).flip(-1)  # sum over i >= j
    per_token = (later if mode == "checkpoint" else gates)[:, :, OWN]
    right = (per_token * (phi(case["q"]) @ phi(case["k"]).mT)).tril() @ case["v"][:, :, 0]
    close(out(case, mode=mode, normalise=False), right)
    falling = (later[:, :, 1:] <= later[:, :, :-1]).all()
    assert falling
    assert not (gates[:, :, 1:] <= gates[:, :, :-1]).all()


def test_equation_17_the_bound_on_mean_entropy():
    def mean_entropy(gates: Tensor) -> float:
        return torch.special.entr(gates).sum(-1).mean().item()

    x = inputs(64)["x"]
    for n in (2, 8, 16):
        bound = math.log(math.factorial(n)) / n
        uniform = memory_gates(torch.zeros_like(x), x, segment=64 // n)
        assert mean_entropy(uniform) == pytest.approx(bound, abs=1e-12)
        assert mean_entropy(memory_gates(10 * inputs(64)["u"], x, segment=64 // n)) < bound - 0.05
    part = memory_gates(torch.zeros_like(x[:, :33]), x[:, :33], segment=8)
    assert mean_entropy(part) < math.log(math.factorial(5)) / 5 - 0.05  # the fifth segment has one token of eight


def test_equation_18_a_bias_and_an_oracle_through_one_hot_columns(case):
    numbers = torch.eye(N, dtype=torch.float64)[OWN].expand(2, -1, -1)
    x = torch.cat((case["x"], numbers), -1)
    raised = scores(case) + 1.7 * (torch.arange(N) < OWN[:, None]).double()
    close(memory_gates(torch.cat((case["u"], -1.7 * numbers), -1), x, segment=S), raised.softmax(-1))
    oracle = memory_gates(500.0 * torch.eye(N, dtype=torch.float64)[[0]].expand(2, T, N), numbers, segment=S)
    close(oracle, torch.eye(N, dtype=torch.float64)[torch.zeros(T, dtype=torch.int64)].expand(2, -1, -1))
    assert far(memory_gates(numbers * 0.1, numbers, segment=S), oracle)  # a small factor is no oracle


@pytest.mark.parametrize("mode", ["checkpoint", "independent"])
def test_equation_19_an_average_of_copies_is_one_divided_state(case, mode):
    times = OWN[:, None] - OWN[None, :] + 1 if mode == "checkpoint" else torch.ones(T, T)
    weights = (times * (phi(case["q"]) @ phi(case["k"]).mT)).tril()
    one_state = (weights / weights.sum(-1, keepdim=True)) @ case["v"][:, :, 0]
    equal = case | {"u": torch.zeros_like(case["u"])}
    close(out(equal, mode=mode, aggregate="soup"), one_state)
    assert far(out(case, mode=mode, aggregate="soup")[:, S:], one_state[:, S:])  # gates that are not equal
    assert far(out(equal, mode=mode)[:, S:], one_state[:, S:])  # reads in place of memories


def test_no_numbered_equation_is_left_out():
    numbered = {int(number) for number in re.findall(r"\\tag\{(\d+)\}", README.read_text(encoding="utf-8"))}
    source = Path(__file__).read_text(encoding="utf-8")
    covered = set()
    for name in re.findall(r"def test_equations?_(\w+)", source):
        numbers = [int(number) for number in re.findall(r"\d+", re.sub(r"_[a-z]{4,}.*", "", name))]
        covered |= set(range(numbers[0], numbers[-1] + 1)) if "_to_" in name else set(numbers)
    assert numbered == covered == set(range(1, 20))
