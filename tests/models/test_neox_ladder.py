"""The ladder, cut in two, hooked by TransformerLens, and shifted where no LayerNorm looks."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lib.errors import BookError
from lib.models import neox_ladder
from lib.models.gauge import shifted
from lib.models.neox_ladder import LadderConfig
from lib.models.split_model import SplitModel, streams, thirds

TINY = LadderConfig(width=32, layers=4, vocabulary=50, context=16)


@pytest.fixture
def model():
    made = neox_ladder.build(TINY, seed=3)
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in made.parameters():  # large enough that each part matters, norms and biases too
            weight.add_(0.2 * torch.randn(weight.shape, generator=g))
    return made


@pytest.fixture
def sequences():
    return torch.randint(50, (3, 16), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("width", "parameters"), [(64, 331_136), (128, 1_055_488), (256, 3_683_840)])
def test_sizes_of_the_rungs(width, parameters):
    with torch.device("meta"):
        assert neox_ladder.build(LadderConfig(width=width), 0).num_parameters() == parameters


def test_a_seed_gives_its_weights_and_leaves_the_global_ones_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, two, other = (neox_ladder.build(TINY, seed) for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.get_input_embeddings().weight, other.get_input_embeddings().weight)


def test_half_precision_file_and_back(model, sequences, tmp_path):
    neox_ladder.save(model, tmp_path / "m.safetensors")
    again = neox_ladder.load(tmp_path / "m.safetensors")
    for name, weight in again.state_dict().items():
        torch.testing.assert_close(weight, model.state_dict()[name].half().float())
    assert again.config.max_position_embeddings == 16


def test_a_file_of_something_else_is_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(BookError, match="no rung"):
        neox_ladder.load(tmp_path / "x.safetensors")


@torch.no_grad()
def test_transformer_lens_reads_the_same_streams_and_logits(model, sequences):
    twin = neox_ladder.hooked(model)
    logits, cache = twin.run_with_cache(sequences)
    torch.testing.assert_close(logits, model(sequences).logits, atol=2e-4, rtol=1e-4)
    ours = streams(model, range(4), sequences)
    for layer, stream in ours.items():
        torch.testing.assert_close(stream, cache[f"blocks.{layer}.hook_resid_post"], atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_patch_through_transformer_lens_hooks_gives_our_tail(model, sequences):
    twin, parts = neox_ladder.hooked(model), SplitModel(model, 1)
    noise = torch.randn(3, 16, 32, generator=torch.Generator().manual_seed(2))
    hooked = twin.run_with_hooks(
        sequences, fwd_hooks=[("blocks.1.hook_resid_post", lambda stream, hook: stream + noise)]
    )
    torch.testing.assert_close(parts.tail(parts.head(sequences) + noise), hooked, atol=2e-4, rtol=1e-4)


def small_llama():
    shape = LlamaConfig(
        vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=16, pad_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(shape).eval()


@pytest.mark.parametrize("kind", ["neox", "llama"])
@pytest.mark.parametrize("layer", range(4))
@torch.no_grad()
def test_head_and_tail_make_the_model(model, sequences, kind, layer):
    whole = model if kind == "neox" else small_llama()
    count = len(list(whole.parameters()))
    parts = SplitModel(whole, layer)
    torch.testing.assert_close(parts.tail(parts.head(sequences)), whole(sequences).logits, atol=1e-6, rtol=1e-6)
    assert len(list(whole.parameters())) == count
    assert whole.config.num_hidden_layers == 4


def test_a_tail_has_gradients_that_match_a_hook(model, sequences):
    parts = SplitModel(model, 2)
    stream = parts.head(sequences).detach().requires_grad_()
    parts.tail(stream).square().mean().backward()
    kept = {}

    def keep(module, inputs, output):
        kept["stream"] = output
        output.retain_grad()

    handle = model.gpt_neox.layers[2].register_forward_hook(keep)
    model(sequences, use_cache=False).logits.square().mean().backward()
    handle.remove()
    torch.testing.assert_close(stream.grad, kept["stream"].grad)


@torch.no_grad()
@pytest.mark.parametrize("variance", [1.0, 400.0])
def test_the_shift_leaves_logits_and_changes_the_variance(model, sequences, variance):
    twin = shifted(model, variance, seed=0)
    torch.testing.assert_close(twin(sequences).logits, model(sequences).logits, atol=1e-3, rtol=1e-3)
    for layer in range(4):
        moved = streams(twin, [layer], sequences)[layer] - streams(model, [layer], sequences)[layer]
        along = moved.mean(-1, keepdim=True).expand_as(moved)
        torch.testing.assert_close(moved, along, atol=2e-3, rtol=1e-3)  # on the all-ones direction alone
        same_token = sequences == sequences[0, 0]
        shifts = moved[same_token].norm(dim=-1)
        torch.testing.assert_close(shifts, shifts[0].expand_as(shifts), atol=2e-3, rtol=1e-3)
    table = twin.get_input_embeddings().weight - model.get_input_embeddings().weight
    sizes = table.norm(dim=1)
    assert 0.5 * variance < sizes.square().mean() < 1.6 * variance


@torch.no_grad()
def test_the_shift_would_not_be_invisible_without_its_direction(model, sequences):
    twin = shifted(model, 0.0, seed=0)
    assert torch.equal(twin.get_input_embeddings().weight, model.get_input_embeddings().weight)
    twin.get_input_embeddings().weight[:, 0] += 5.0  # a direction that LayerNorm does see
    assert (twin(sequences).logits - model(sequences).logits).abs().max() > 0.1


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: LadderConfig(width=60), "heads of 8, 16"),
        (lambda: LadderConfig(width=0), "at least 1"),
        (lambda: SplitModel(neox_ladder.build(TINY, 0), 4), "give 0 to 3"),
        (lambda: shifted(small_llama(), 1.0, 0), "GPT-NeoX"),
        (lambda: shifted(neox_ladder.build(TINY, 0), -1.0, 0), "0 or more"),
        (lambda: thirds(3), "4 or more"),
    ],
)
def test_bad_input_in_one_line(call, told):
    with pytest.raises(BookError, match=told):
        call()


def test_depths_leave_the_last_block_out():
    assert thirds(4) == {"early": 0, "mid": 1, "late": 2}
    assert thirds(30) == {"early": 6, "mid": 14, "late": 28}
    assert thirds(24) == {"early": 5, "mid": 11, "late": 22}
