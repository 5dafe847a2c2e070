"""The selective SSM against another library's, its decoding step by step, its counts, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lib.errors import BookError
from lib.models import HybridConfig, SelectiveDecoder, SelectiveSSM
from lib.models.selective_ssm import draft_counts
from lib.models.span import Span

SMALL = HybridConfig(
    codebooks=3, vocabulary=11, pad=10, width=16, layers=4, heads=2, kv_heads=1, ffn_width=24, dropout=0.0
)  # fmt: skip


def mixer(**options: int) -> SelectiveSSM:
    made = SelectiveSSM(12, **{"state_size": 5, **options})
    made.initialise(torch.Generator().manual_seed(0), 0.5)
    return made


def test_another_library_gives_the_same():
    """transformers' Mamba mixer with our weights, in its plain path."""
    modeling = pytest.importorskip("transformers.models.mamba.modeling_mamba")
    from transformers import MambaConfig

    ours = mixer()
    config = MambaConfig(hidden_size=12, state_size=5, conv_kernel=4, expand=2, time_step_rank=1, use_bias=False)
    theirs = modeling.MambaMixer(config, layer_idx=0)
    named = {
        "in_proj.weight": ours.in_proj.weight,
        "conv1d.weight": ours.conv,
        "conv1d.bias": ours.conv_bias,
        "x_proj.weight": ours.x_proj.weight,
        "dt_proj.weight": ours.dt_proj.weight,
        "dt_proj.bias": ours.dt_proj.bias,
        "A_log": ours.A_log,
        "D": ours.D,
        "out_proj.weight": ours.o_proj.weight,
    }
    theirs.load_state_dict(named, strict=True)
    x = torch.randn(2, 9, 12, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = theirs(x)
        found, _ = ours(x.flatten(0, 1), Span(2, 9), None)
    torch.testing.assert_close(found.view(2, 9, 12), wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("schedule", [{"attention_every": 0, "final_attention": False}, {"attention_every": 4}])
def test_steps_with_a_state_equal_the_whole(schedule):
    model = SelectiveDecoder(replace(SMALL, **schedule), torch.Generator().manual_seed(3), state_size=5).eval()
    tokens = torch.randint(0, 10, (2, 3, 13), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        whole = model(tokens)
        first, state = model.prefill(tokens[:, :, :6])
        parts = [first]
        for t in range(6, 13):
            logits, state = model.step(tokens[:, :, t], state)
            parts.append(logits[:, :, None])
    torch.testing.assert_close(torch.cat(parts, 2), whole, rtol=1e-4, atol=1e-5)


def test_padding_is_not_seen():
    model = SelectiveDecoder(SMALL, torch.Generator().manual_seed(3), state_size=5).eval()
    tokens = torch.randint(0, 10, (2, 3, 9), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        alone = model(tokens[1:, :, :5])
        together = model(tokens, lengths=[9, 5])
    torch.testing.assert_close(together[1:, :, :5], alone, rtol=1e-4, atol=1e-5)


def test_the_whole_model_has_gradients():
    model = SelectiveDecoder(SMALL, state_size=5)
    model(torch.randint(0, 10, (1, 3, 7), generator=torch.Generator().manual_seed(4))).square().mean().backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters())


def test_the_start_is_the_released_one():
    made = mixer()
    assert torch.allclose(made.A_log.exp()[0], torch.arange(1.0, 6.0))
    dt = torch.nn.functional.softplus(made.dt_proj.bias)
    assert 1e-3 <= dt.min() <= dt.max() <= 0.1001
    assert torch.equal(mixer().in_proj.weight, made.in_proj.weight)


def test_counts_of_the_drafts():
    """The totals on record for the deleted draft and its variants, to the unit."""
    assert sum(draft_counts().values()) == 115_779_072
    assert sum(draft_counts(attention=2).values()) == 106_519_296
    assert sum(draft_counts(attention=0).values()) == 100_346_112


def test_counting_allocates_nothing():
    with torch.device("meta"):
        model = SelectiveDecoder(SMALL)
    assert all(weight.is_meta for weight in model.parameters())
    counts = model.component_counts()
    assert counts["total"] == sum(weight.numel() for weight in model.parameters())
    assert counts["recurrent"] == 3 * sum(weight.numel() for weight in model.blocks[0].mixer.parameters())


@pytest.mark.parametrize("name", ["state_size", "conv_width", "expand", "dt_rank"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(BookError, match=f"{name}=0"):
        SelectiveSSM(8, **{name: 0})
