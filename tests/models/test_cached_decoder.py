"""Cached memory as a mixer: the kernel's numbers, one step at a time, padding, gradients, counts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lib.kernels import gated_residual_memory
from lib.models import HybridConfig, MemoryDecoder
from lib.models.span import Span

SMALL = HybridConfig(
    codebooks=3, vocabulary=11, pad=10, width=16, layers=4, heads=2, kv_heads=1, ffn_width=24, dropout=0.0
)  # fmt: skip
NO_ATTENTION = {"attention_every": 0, "final_attention": False}


def decoder(**schedule: object) -> MemoryDecoder:
    return MemoryDecoder(replace(SMALL, **schedule), torch.Generator().manual_seed(3), segment=4).double().eval()


@pytest.mark.parametrize("schedule", [NO_ATTENTION, {"attention_every": 4}])
def test_steps_with_a_state_equal_the_whole(schedule):
    model = decoder(**schedule)
    tokens = torch.randint(0, 10, (2, 3, 13), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        whole = model(tokens)
        first, state = model.prefill(tokens[:, :, :6])
        parts = [first]
        for column in tokens[:, :, 6:].unbind(-1):
            one, state = model.step(column, state)
            parts.append(one[:, :, None])
    torch.testing.assert_close(torch.cat(parts, 2), whole, rtol=1e-9, atol=1e-10)


def test_the_mixer_is_the_kernel_between_its_maps():
    mixer = decoder(**NO_ATTENTION).blocks[0].mixer
    x = torch.randn(2, 13, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    q, k, v, u = (x @ part.weight.T for part in (mixer.q_proj, mixer.k_proj, mixer.v_proj, mixer.u_proj))
    q, k, v = (part.unflatten(-1, (2, 8)) for part in (q, k, v))
    o, _ = gated_residual_memory(q, k, v, u / 4, x, segment=4, impl="naive")
    found, _ = mixer(x.flatten(0, 1), Span(2, 13), None)
    torch.testing.assert_close(found.view(2, 13, 16), o.flatten(-2) @ mixer.o_proj.weight.T, rtol=1e-9, atol=1e-10)


def test_padding_is_not_seen_and_gradients_reach_everything():
    model = decoder(**NO_ATTENTION)
    tokens = torch.randint(0, 10, (2, 3, 13), generator=torch.Generator().manual_seed(4))
    both = model(tokens, [9, 13])
    torch.testing.assert_close(both[:1, :, :9], model(tokens[:1, :, :9]), rtol=1e-9, atol=1e-10)
    both.square().sum().backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in model.parameters())


def test_a_layer_has_five_maps():
    model = decoder(**NO_ATTENTION)
    assert model.component_counts()["recurrent"] == 4 * 5 * 16**2
