"""Two recurrent mixers around the gated delta rule: the released one, and the older one of the music post."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.kernels import gated_delta_rule
from lib.models.hybrid_config import HybridConfig
from lib.models.layers import Linear, RMSNorm, fill_uniform, fill_xavier
from lib.models.span import Span

UNIT_EPS = 1e-6
"""Added to the squared length of queries and keys before they are divided by it, as in the released code."""


@dataclass(frozen=True)
class DeltaState:
    """What a recurrent mixer remembers: matrix [B, H, K, V], and the last inputs of its filters [B, width - 1, C]."""

    matrix: Tensor
    window: Tensor | None


def unit(x: Tensor) -> Tensor:
    """x [..., K] divided by its length over the last axis, in float32 at least; the dtype of x comes back."""
    if x.dtype in (torch.float32, torch.float64):
        return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + UNIT_EPS)
    return unit(x.float()).to(x.dtype)


def short_convolution(x: Tensor, weight: Tensor, window: Tensor | None) -> tuple[Tensor, Tensor]:
    """Causal depthwise convolution over time, each channel by itself.

    x: [B, T, C]. weight: [C, 1, width], its last tap on the current step. window: [B, width - 1, C], the inputs before
    x, or None for zeros. Returns y [B, T, C] and the window after x.
    """
    taps = weight.shape[-1]
    if window is None:
        window = x.new_zeros(x.shape[0], taps - 1, x.shape[2])
    seen = torch.cat((window, x), dim=1)
    weight = weight.to(x.dtype)
    if x.shape[1] == 1:  # one product and sum: a convolution call costs six times as much at this size
        y = (seen * weight[:, 0].t()).sum(1, keepdim=True)
    else:
        y = F.conv1d(seen.transpose(1, 2), weight, groups=x.shape[2]).transpose(1, 2)
    return y, seen[:, seen.shape[1] - taps + 1 :]


class GatedDeltaNet(nn.Module):
    """The released mixer: short convolutions, gated delta rule, normalised and gated output.

    log alpha = -exp(A_log) softplus(a + dt_bias) per head; beta = 2 sigmoid(b); q and k have length one.
    y = o_proj(RMSNorm(o) * silu(gate)), one norm weight for all heads. q, k, v, gate, a and b are maps of x.

    Source: Yang, Kautz and Hatamizadeh, Gated Delta Networks (2024), figure 1; Grazzi et al. (2024) for beta up to 2.
    Used by chapters 07, 09 and 10.
    """

    def __init__(self, config: HybridConfig) -> None:
        super().__init__()
        self.heads, self.key_size, self.value_size = config.heads, config.key_size, config.value_size
        self.beta_top = 2.0 if config.negative_eigenvalues else 1.0
        self.query_scale, self.impl = config.query_scale, config.impl
        keys, values = self.heads * self.key_size, self.heads * self.value_size
        self.streams = [keys, keys, values]
        self.inputs = [2 * keys + values, values, self.heads, self.heads]
        self.in_proj = Linear(config.width, sum(self.inputs), bias=False)
        self.conv = nn.Parameter(torch.zeros(sum(self.streams), 1, config.conv_width))
        self.o_proj = Linear(values, config.width, bias=False)
        self.A_log = nn.Parameter(torch.zeros(self.heads))
        self.dt_bias = nn.Parameter(torch.zeros(self.heads))
        self.o_norm = RMSNorm(self.value_size, config.norm_eps)

    def initialise(self, generator: torch.Generator, residual_scale: float) -> None:
        """Xavier-uniform maps and filters, A ~ U(0, 16), dt log-uniform in [1e-3, 0.1], as released.

        One map holds q, k, v, gate, a and b, one filter q, k and v; each is drawn by itself, with its own bounds.
        """
        for joint, sizes in ((self.in_proj.weight, self.streams + self.inputs[1:]), (self.conv, self.streams)):
            for weight in joint.detach().split(sizes):
                fill_xavier(weight, generator)
        fill_xavier(self.o_proj.weight, generator, residual_scale)
        if self.A_log.is_meta:
            return
        with torch.no_grad():
            self.A_log.uniform_(0, 16, generator=generator).log_()
            dt = self.dt_bias.uniform_(math.log(1e-3), math.log(0.1), generator=generator).exp().clamp_min(1e-4)
            self.dt_bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # softplus of this is dt

    def forward(self, x: Tensor, span: Span, state: DeltaState | None) -> tuple[Tensor, DeltaState]:
        """x [N, d] packed by span; state: what came before, or None. Returns y [N, d] and the state after."""
        qkv, gate, a, b = self.in_proj(x).split(self.inputs, dim=-1)
        qkv, window = short_convolution(span.pad(qkv), self.conv, None if state is None else state.window)
        qk, v = F.silu(qkv).split([2 * self.streams[0], self.streams[2]], dim=-1)
        q, k = unit(qk.unflatten(-1, (2 * self.heads, self.key_size))).split(self.heads, dim=-2)
        v = v.unflatten(-1, (self.heads, self.value_size))
        g = -self.A_log.exp() * F.softplus(a + self.dt_bias)
        beta = self.beta_top * b.to(self.dt_bias.dtype).sigmoid()
        o, matrix = gated_delta_rule(
            q,
            k,
            v,
            span.pad(g),
            span.pad(beta),
            scale=self.query_scale,
            initial_state=None if state is None else state.matrix,
            impl=self.impl,
        )
        o = self.o_norm(span.pack(o)).flatten(-2) * F.silu(gate)
        return self.o_proj(o), DeltaState(matrix, window)


class GatedDeltaSimple(nn.Module):
    """The older mixer: forget and update gates with bias, RMSNorm on queries and keys, no convolution, no output gate.

    alpha = sigmoid(forget(x)), beta = sigmoid(update(x)), one number per head each. The parameter count of the music
    post decides which maps exist; it leaves open how normed keys are kept at length one and how the gates
    start. Here keys are divided by their length after the norm, since the delta rule diverges for longer ones; queries
    are divided by sqrt(D); forget biases start in U(2, 6), so that heads hold from 5 to 280 steps for half of a trace.
    Used by chapter 07.
    """

    def __init__(self, config: HybridConfig) -> None:
        super().__init__()
        self.heads, self.head_size, self.impl = config.heads, config.head_size, config.impl
        self.q_proj = Linear(config.width, config.width, bias=False)
        self.k_proj = Linear(config.width, config.width, bias=False)
        self.v_proj = Linear(config.width, config.width, bias=False)
        self.o_proj = Linear(config.width, config.width, bias=False)
        self.forget_proj = Linear(config.width, self.heads)
        self.update_proj = Linear(config.width, self.heads)
        self.q_norm = RMSNorm(self.head_size, config.norm_eps)
        self.k_norm = RMSNorm(self.head_size, config.norm_eps)

    def initialise(self, generator: torch.Generator, residual_scale: float) -> None:
        """Xavier-uniform maps, default gates, forget biases in U(2, 6)."""
        for projection in (self.q_proj, self.k_proj, self.v_proj):
            fill_xavier(projection.weight, generator)
        fill_xavier(self.o_proj.weight, generator, residual_scale)
        self.forget_proj.initialise(generator)
        self.update_proj.initialise(generator)
        fill_uniform(self.forget_proj.bias, 2.0, generator)
        if not self.forget_proj.bias.is_meta:
            with torch.no_grad():
                self.forget_proj.bias.add_(4.0)

    def forward(self, x: Tensor, span: Span, state: DeltaState | None) -> tuple[Tensor, DeltaState]:
        """x [N, d] packed by span; state: what came before, or None. Returns y [N, d] and the state after."""
        projections, shape = (self.q_proj, self.k_proj, self.v_proj), (self.heads, self.head_size)
        q, k, v = (span.pad(projection(x)).unflatten(-1, shape) for projection in projections)
        gate_dtype = self.forget_proj.bias.dtype
        o, matrix = gated_delta_rule(
            self.q_norm(q),
            unit(self.k_norm(k)),
            v,
            span.pad(F.logsigmoid(self.forget_proj(x).to(gate_dtype))),
            span.pad(self.update_proj(x).to(gate_dtype).sigmoid()),
            scale=self.head_size**-0.5,
            initial_state=None if state is None else state.matrix,
            impl=self.impl,
        )
        return self.o_proj(span.pack(o).flatten(-2)), DeltaState(matrix, None)


MIXERS = {"gated_delta_net": GatedDeltaNet, "gated_delta_simple": GatedDeltaSimple}
