"""Each numbered equation of lib/kernels/gated_delta/README.md, evaluated on random numbers and held against the code.

The equations are written here as they stand there, with whole matrices and in float64; the code's side is the plain
loop with its autograd, or the function that claims to implement the equation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lib.kernels.gated_delta import chunk
from lib.kernels.gated_delta.naive import naive_gated_delta_rule

README = Path(chunk.__file__).with_name("README.md")
C, K, V, SCALE = 24, 5, 7, 0.7


@dataclass
class Chunk:
    """One chunk of one head, what the loop makes of it, and the matrices of the README."""

    Q: Tensor
    K: Tensor
    V: Tensor
    g: Tensor
    beta: Tensor
    S0: Tensor
    O: Tensor  # noqa: E741, the README's letter
    SC: Tensor
    grads: dict[str, Tensor]
    dO: Tensor
    dSC: Tensor

    def __post_init__(self) -> None:
        self.gamma = self.g.cumsum(0)
        self.D = (self.gamma[:, None] - self.gamma[None, :]).exp().tril()
        self.Lambda, self.B = torch.diag(self.gamma.exp()), torch.diag(self.beta)
        self.Gamma = torch.diag((self.gamma[-1] - self.gamma).exp())
        self.Y = (self.D * (self.K @ self.K.T)).tril(-1)
        self.M = self.D * (self.Q @ self.K.T)
        self.X = torch.linalg.inv(torch.eye(C) + self.B @ self.Y) @ self.B
        self.U = self.X @ (self.V - self.Lambda @ self.K @ self.S0)
        self.dU = SCALE * self.M.T @ self.dO + self.Gamma @ self.K @ self.dSC
        self.dV = self.X.T @ self.dU
        self.F = SCALE * self.D * (self.dO @ self.U.T)
        self.G = (self.D * (self.dV @ self.U.T)).tril(-1)


@pytest.fixture(scope="module")
def made() -> Chunk:
    """A random chunk, run through the plain loop; gradients by its autograd."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    generator = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    leaves = {
        "Q": normal(C, K),
        "K": torch.nn.functional.normalize(normal(C, K), dim=-1),
        "V": normal(C, V),
        "g": -0.3 * torch.rand(C, generator=generator),
        "beta": 2 * torch.rand(C, generator=generator),
        "S0": normal(K, V),
    }
    leaves = {name: x.requires_grad_() for name, x in leaves.items()}
    sequences = [leaves[name][None, :, None] for name in ("Q", "K", "V", "g", "beta")]
    o, state = naive_gated_delta_rule(*sequences, SCALE, leaves["S0"][None, None])
    d_o, d_state = normal(C, V), normal(K, V)
    grads = torch.autograd.grad((o[0, :, 0] * d_o).sum() + (state[0, 0] * d_state).sum(), list(leaves.values()))
    outputs = {"O": o[0, :, 0].detach(), "SC": state[0, 0].detach(), "dO": d_o, "dSC": d_state}
    yield Chunk(
        **{name: x.detach() for name, x in leaves.items()}, **outputs, grads=dict(zip(leaves, grads, strict=True))
    )
    torch.set_default_dtype(before)


def close(found: Tensor, right: Tensor) -> None:
    torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)


def states(x: Chunk) -> list[Tensor]:
    """S_0 to S_C by equation 1."""
    found = [x.S0]
    for t in range(C):
        k, s = x.K[t][:, None], found[-1]
        found.append(x.g[t].exp() * (s - x.beta[t] * k @ (k.T @ s)) + x.beta[t] * k @ x.V[t][None, :])
    return found


def test_equation_1(made):
    found = states(made)
    close(found[-1], made.SC)
    close(torch.stack([SCALE * s.T @ q for s, q in zip(found[1:], made.Q, strict=True)]), made.O)


def test_equation_2(made):
    s, right = made.S0, states(made)
    for t in range(C):
        u = made.beta[t] * (made.V[t] - made.g[t].exp() * s.T @ made.K[t])
        close(u, made.U[t])
        s = made.g[t].exp() * s + torch.outer(made.K[t], u)
        close(s, right[t + 1])


def test_equation_3(made):
    for t, right in enumerate(states(made)[1:]):
        sum_ = sum((made.gamma[t] - made.gamma[i]).exp() * torch.outer(made.K[i], made.U[i]) for i in range(t + 1))
        close(made.gamma[t].exp() * made.S0 + sum_, right)


def test_equation_4(made):
    close((torch.eye(C) + made.B @ made.Y) @ made.U, made.B @ (made.V - made.Lambda @ made.K @ made.S0))
    errors = torch.stack([made.V[t] - made.g[t].exp() * s.T @ made.K[t] for t, s in enumerate(states(made)[:-1])])
    close(made.U, made.B @ errors)


def test_equation_5(made):
    close(SCALE * (made.Lambda @ made.Q @ made.S0 + made.M @ made.U), made.O)


def test_equation_6(made):
    close(made.gamma[-1].exp() * made.S0 + (made.Gamma @ made.K).T @ made.U, made.SC)


def test_equation_7(made):
    product = torch.eye(K)
    for t in range(C):
        k = made.K[t][:, None]
        product = made.g[t].exp() * (torch.eye(K) - made.beta[t] * k @ k.T) @ product
    W = made.X @ made.Lambda @ made.K
    close(product, made.gamma[-1].exp() * torch.eye(K) - (made.Gamma @ made.K).T @ W)


def test_equation_8(made):
    A = made.B @ made.Y
    rows = []
    for t in range(C):
        rows.append(torch.eye(C)[t] - sum((A[t, i] * rows[i] for i in range(t)), torch.zeros(C)))
    close(torch.stack(rows), chunk._unit_lower_inverse(A[None])[0])
    close(torch.stack(rows) @ made.B, made.X)


def test_what_is_said_of_equal_keys():
    A = 1.9 * torch.ones(16, 16, dtype=torch.float64).tril(-1)
    assert torch.linalg.inv(torch.eye(16) + A).abs().max() < 1.9 + 1e-9
    assert torch.linalg.matrix_power(A, 8).max() > 1e5
    assert not torch.linalg.matrix_power(A, 16).any()


def test_equation_9(made):
    block = 8
    solve = chunk._solve_blocks(made.Y[None, None], made.beta[None, None, :, None], block)[0]
    for b in range(C // block):
        part = slice(b * block, (b + 1) * block)
        close(
            solve[b, 0],
            torch.linalg.inv(torch.eye(block) + made.B[part, part] @ made.Y[part, part]) @ made.B[part, part],
        )
    rest, found = made.V - made.Lambda @ made.K @ made.S0, torch.full((1, C, V), torch.nan)
    chunk._substitute(solve, made.Y[None], rest[None], out=found)
    close(found[0], made.U)
    chunk._substitute_back(solve, made.Y[None], made.dU[None], out=found)
    close(found[0], made.dV)


def test_equation_10(made):
    close(made.dV, made.grads["V"])
    read, predicted = SCALE * (made.Lambda @ made.Q).T @ made.dO, (made.Lambda @ made.K).T @ made.dV
    close(made.gamma[-1].exp() * made.dSC + read - predicted, made.grads["S0"])


def test_equation_11(made):
    close(SCALE * made.Lambda @ made.dO @ made.S0.T + made.F @ made.K, made.grads["Q"])
    written, predicted = made.Gamma @ made.U @ made.dSC.T, made.Lambda @ made.dV @ made.S0.T
    close(written - predicted + made.F.T @ made.Q - (made.G + made.G.T) @ made.K, made.grads["K"])
    beta = made.beta[:, None]
    close(((made.U / beta) * (made.dV / beta)).sum(1), made.grads["beta"])


def test_equation_12(made):
    N = (made.F * (made.Q @ made.K.T) - made.G * (made.K @ made.K.T)).tril(-1)
    a = (made.K * (made.Gamma @ made.U @ made.dSC.T)).sum(1)
    reads = (made.Q * (SCALE * made.Lambda @ made.dO @ made.S0.T)).sum(1)
    predictions = (made.K * (made.Lambda @ made.dV @ made.S0.T)).sum(1)
    d_gamma = N.sum(1) - N.sum(0) + reads - predictions - a
    d_gamma[-1] += a.sum() + made.gamma[-1].exp() * (made.S0 * made.dSC).sum()
    close(d_gamma.flip(0).cumsum(0).flip(0), made.grads["g"])


def test_the_shorter_form_of_the_decay_gradient(made):
    steps = (made.Q * made.grads["Q"]).sum(1) - (made.V * made.grads["V"]).sum(1)
    at_end = (made.SC * made.dSC).sum()
    close(steps.flip(0).cumsum(0).flip(0) + at_end, made.grads["g"])


def test_equation_13(made):
    S, E = states(made), made.dSC
    for t in reversed(range(C)):
        q, k, d_o, decay = made.Q[t], made.K[t], made.dO[t], made.g[t].exp()
        p = made.U[t] / made.beta[t]
        E = E + SCALE * torch.outer(q, d_o)
        du = E.T @ k
        dv = made.beta[t] * du
        close(dv, made.grads["V"][t])
        close(du @ p, made.grads["beta"][t])
        close(SCALE * S[t + 1] @ d_o, made.grads["Q"][t])
        close(E @ made.U[t] - decay * S[t] @ dv, made.grads["K"][t])
        E = decay * (E - torch.outer(k, dv))
        close((S[t] * E).sum(), made.grads["g"][t])
    close(E, made.grads["S0"])


def test_no_equation_is_left_untested():
    shown = {int(number) for number in re.findall(r"\\tag\{(\d+)\}", README.read_text())}
    tested = {int(name.rpartition("_")[2]) for name in globals() if re.fullmatch(r"test_equation_\d+", name)}
    assert shown == tested == set(range(1, max(shown) + 1))
