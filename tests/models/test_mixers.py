"""The mixers against what their sources write down, one step at a time and in the sources' own layout."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from lib.models.attention import Attention, causal_mask, rotary_table, rotate
from lib.models.gated_delta_net import GatedDeltaNet, GatedDeltaSimple, short_convolution
from lib.models.layers import RMSNorm
from lib.models.span import Span, span_of

from .conftest import draw


def released_recurrence(mixer: GatedDeltaNet, x: torch.Tensor, negative: bool, scale: float) -> torch.Tensor:
    """The released mixer as its source states it, for one sequence x [T, d]: S in R^{V x K}, plain loops."""
    heads, keys, values = mixer.heads, mixer.key_size, mixer.value_size

    sizes = [heads * keys, heads * keys, heads * values]
    maps = mixer.in_proj.weight.split([*sizes, heads * values, heads, heads])
    gate, a, b = (x @ weight.t() for weight in maps[3:])

    def stream(number):
        z = x @ maps[number].t()
        weight = mixer.conv.split(sizes)[number]
        rows = []
        for t in range(len(z)):
            taps = [z[t - 3 + j] * weight[:, 0, j] if t - 3 + j >= 0 else 0 * z[0] for j in range(4)]
            rows.append(F.silu(sum(taps)))
        return torch.stack(rows)

    q = stream(0).view(-1, heads, keys)
    k = stream(1).view(-1, heads, keys)
    v = stream(2).view(-1, heads, values)
    q, k = (y / (y.pow(2).sum(-1, keepdim=True) + 1e-6).sqrt() for y in (q, k))
    alpha = torch.exp(-mixer.A_log.exp() * torch.log1p(torch.exp(a + mixer.dt_bias)))
    beta = (2 if negative else 1) / (1 + torch.exp(-b))
    out = []
    for h in range(heads):
        state = torch.zeros(values, keys, dtype=x.dtype)
        steps = []
        for t in range(len(x)):
            kept = state - beta[t, h] * torch.outer(state @ k[t, h], k[t, h])
            state = alpha[t, h] * kept + beta[t, h] * torch.outer(v[t, h], k[t, h])
            y = scale * state @ q[t, h]
            steps.append(y / (y.pow(2).mean() + 1e-5).sqrt() * mixer.o_norm.weight)
        out.append(torch.stack(steps))
    return mixer.o_proj(torch.stack(out, 1).flatten(1) * F.silu(gate))


@pytest.mark.parametrize(
    ("negative", "scale"), [(True, 1.0), (False, 0.5)], ids=["as released", "beta below 1, scaled"]
)
@torch.no_grad()
def test_released_mixer(small, negative, scale):
    mixer = GatedDeltaNet(replace(small, negative_eigenvalues=negative, query_scale=scale)).double()
    mixer.initialise(draw(1), 0.5)
    mixer.o_norm.weight.uniform_(0.5, 1.5, generator=draw(2))
    x = torch.randn(11, small.width, generator=draw(3), dtype=torch.float64)
    y, state = mixer(x, Span(1, 11), None)
    torch.testing.assert_close(y, released_recurrence(mixer, x, negative, scale), atol=1e-10, rtol=1e-8)
    assert state.matrix.shape == (1, small.heads, small.key_size, small.value_size)


@torch.no_grad()
def test_older_mixer(small):
    """Gates with bias, normed queries and keys, keys of length one."""
    mixer = GatedDeltaSimple(small).double()
    mixer.initialise(draw(1), 0.5)
    for norm in (mixer.q_norm, mixer.k_norm):
        norm.weight.uniform_(0.5, 1.5, generator=draw(2))
    x = torch.randn(9, small.width, generator=draw(3), dtype=torch.float64)
    size = small.head_size

    def normed(projection, norm):
        z = projection(x).view(-1, small.heads, size)
        return z / (z.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight

    q, k = normed(mixer.q_proj, mixer.q_norm), normed(mixer.k_proj, mixer.k_norm)
    k = k / (k.pow(2).sum(-1, keepdim=True) + 1e-6).sqrt()
    v = mixer.v_proj(x).view(-1, small.heads, size)
    alpha, beta = torch.sigmoid(mixer.forget_proj(x)), torch.sigmoid(mixer.update_proj(x))
    state = torch.zeros(small.heads, size, size, dtype=x.dtype)
    rows = []
    for t in range(len(x)):
        held = torch.einsum("hk,hkv->hv", k[t], state)
        state = alpha[t][:, None, None] * (state - beta[t][:, None, None] * k[t][:, :, None] * held[:, None])
        state = state + beta[t][:, None, None] * k[t][:, :, None] * v[t][:, None]
        rows.append(torch.einsum("hk,hkv->hv", q[t] / size**0.5, state).flatten())
    y, _ = mixer(x, Span(1, 9), None)
    torch.testing.assert_close(y, mixer.o_proj(torch.stack(rows)), atol=1e-10, rtol=1e-8)


@torch.no_grad()
def test_attention_is_softmax_over_the_past(small):
    """Against a loop over heads and steps; query heads h and h + 1 share key head h / 2."""
    mixer = Attention(small).double()
    mixer.initialise(draw(1), 0.5)
    x = torch.randn(7, small.width, generator=draw(3), dtype=torch.float64)
    table = rotary_table(0, 7, small.head_size, 100.0, x.device)

    def heads_of(projection, count, norm):
        return rotate(norm(projection(x).view(1, 7, count, small.head_size)), table)[0]

    q, k = heads_of(mixer.q_proj, 4, mixer.q_norm), heads_of(mixer.k_proj, 2, mixer.k_norm)
    v = mixer.v_proj(x).view(7, 2, small.head_size)
    rows = torch.zeros(7, 4, small.head_size, dtype=x.dtype)
    for t in range(7):
        for h in range(4):
            weights = torch.softmax(k[: t + 1, h // 2] @ q[t, h] / small.head_size**0.5, dim=0)
            rows[t, h] = weights @ v[: t + 1, h // 2]
    y, _ = mixer(x, Span(1, 7), table, None)
    torch.testing.assert_close(y, mixer.o_proj(rows.flatten(1)), atol=1e-10, rtol=1e-8)


def test_rotation_is_complex_multiplication():
    x = torch.randn(2, 5, 3, 8, generator=draw(1))
    turned = rotate(x, rotary_table(4, 5, 8, 500_000.0, x.device))
    angle = torch.arange(4, 9)[:, None] * 500_000.0 ** (-torch.arange(0, 8, 2) / 8)
    expected = torch.view_as_complex(x.view(2, 5, 3, 4, 2)) * torch.polar(torch.ones(5, 4), angle.float())[:, None]
    torch.testing.assert_close(turned, torch.view_as_real(expected).flatten(-2))


def test_rotary_scores_depend_on_distance_alone():
    q, k = torch.randn(2, 1, 1, 1, 8, generator=draw(1), dtype=torch.float64)

    def score(at_q, at_k):
        left = rotate(q, rotary_table(at_q, 1, 8, 100.0, q.device))
        return (left * rotate(k, rotary_table(at_k, 1, 8, 100.0, k.device))).sum()

    torch.testing.assert_close(score(7, 3), score(104, 100), atol=1e-5, rtol=0)
    assert (score(7, 3) - score(7, 4)).abs() > 1e-3


@pytest.mark.parametrize(("steps", "seen"), [(4, 4), (1, 6), (3, 7)], ids=["start", "one step", "continued prompt"])
def test_causal_mask(steps, seen):
    q, k = torch.randn(1, 1, steps, 4, generator=draw(1)), torch.randn(1, 1, seen, 4, generator=draw(2))
    y = F.scaled_dot_product_attention(q, k, k, **causal_mask(steps, seen, q.device))
    for i in range(steps):
        visible = k[:, :, : seen - steps + i + 1]
        expected = F.scaled_dot_product_attention(q[:, :, i : i + 1], visible, visible)
        torch.testing.assert_close(y[:, :, i : i + 1], expected)


@pytest.mark.parametrize("split", [1, 2, 5], ids=lambda n: f"split at {n}")
def test_short_convolution_continues(split):
    """In two parts, one of them a single step, as in one; the last tap sees the current step."""
    x, weight = torch.randn(2, 6, 5, generator=draw(1)), torch.randn(5, 1, 4, generator=draw(2))
    whole, _ = short_convolution(x, weight, None)
    first, window = short_convolution(x[:, :split], weight, None)
    second, _ = short_convolution(x[:, split:], weight, window)
    torch.testing.assert_close(torch.cat((first, second), 1), whole)
    torch.testing.assert_close(whole[:, 0], x[:, 0] * weight[:, 0, -1])


def test_norm_against_its_formula():
    norm = RMSNorm(6, 1e-5)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5, generator=draw(1))
    x = torch.randn(4, 6, generator=draw(2)) * 1e-2
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * norm.weight
    torch.testing.assert_close(norm(x), expected)
    assert norm(x.bfloat16()).dtype == torch.bfloat16


def test_span_round_trip():
    x = torch.arange(2 * 5 * 3).view(2, 5, 3)
    span = span_of(2, 5, [5, 2], x.device)
    packed = span.pack(x)
    assert packed.shape == (7, 3)
    back = span.pad(packed)
    assert torch.equal(back[0], x[0])
    assert torch.equal(back[1, :2], x[1, :2])
    assert not back[1, 2:].any()
    assert span_of(2, 5, [3, 3], x.device) == Span(2, 3)
