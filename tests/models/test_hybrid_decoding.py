"""Decoding with a state equals the full forward pass; nothing sees the future; padding is neither seen nor computed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from lib.errors import BookError
from lib.models import HybridConfig, HybridDecoder

from .conftest import draw


def decode(model: HybridDecoder, tokens: torch.Tensor, prompt: int, **text) -> tuple[torch.Tensor, object]:
    """Logits of a prompt read at once and of the rest step by step; and the state."""
    logits, state = model.prefill(tokens[:, :, :prompt], **text)
    parts = [logits]
    for t in range(prompt, tokens.shape[2]):
        logits, state = model.step(tokens[:, :, t], state)
        parts.append(logits[:, :, None])
    return torch.cat(parts, dim=2), state


@pytest.mark.parametrize("prompt", [1, 2, 9, 17], ids=lambda n: f"prompt of {n}")
@torch.no_grad()
def test_steps_equal_forward(decoder, tokens, text, prompt):
    """Exact but for rounding: 1e-10 in float64."""
    logits, state = decode(decoder, tokens, prompt, **text)
    torch.testing.assert_close(logits, decoder(tokens, **text), atol=1e-10, rtol=1e-10)
    assert state.position == tokens.shape[2]


@torch.no_grad()
def test_steps_equal_forward_at_size():
    """The speech model in float32: 1e-5 of the size of the logits (RMS of the difference by RMS)."""
    model = HybridDecoder(HybridConfig.speech_22m(), draw(0)).eval()
    tokens = torch.randint(0, 1024, (1, 8, 40), generator=draw(1))
    logits, _ = decode(model, tokens, 20)
    full = model(tokens)
    assert (logits - full).square().mean().sqrt() <= 1e-5 * full.square().mean().sqrt()


@torch.no_grad()
def test_a_state_branches(decoder, tokens, text):
    """A step leaves its state alone: two continuations of one prompt do not disturb each other."""
    _, state = decoder.prefill(tokens[:, :, :5], **text)
    first, _ = decoder.step(tokens[:, :, 5], state)
    decoder.step(tokens[:, :, 6], state)
    again, _ = decoder.step(tokens[:, :, 5], state)
    assert torch.equal(first, again)


@torch.no_grad()
def test_a_lost_state_is_noticed(decoder, tokens, text):
    """The parity test can fail: with the state of another prompt the next logits differ in every kind of decoder."""
    full = decoder(tokens, **text)[:, :, -1]
    _, state = decoder.prefill((tokens[:, :, :-1] + 1) % 20, **text)
    wrong, _ = decoder.step(tokens[:, :, -1], state)
    assert (wrong - full).abs().max() > 1e-3


@torch.no_grad()
def test_nothing_sees_the_future(decoder, tokens, text):
    changed = tokens.clone()
    changed[:, :, 9:] = (tokens[:, :, 9:] + 1) % 20
    before, after = decoder(tokens, **text), decoder(changed, **text)
    assert torch.equal(before[:, :, :9], after[:, :, :9])
    assert not torch.equal(before[:, :, 9:], after[:, :, 9:])


@torch.no_grad()
def test_padding_is_not_seen(decoder, tokens, text):
    """Rows of other lengths give what each gives alone, whatever lies in the padding; padding gives zeros."""
    lengths = [11, 4]
    ragged = decoder(tokens, lengths, **text)
    garbage = tokens.clone()
    for row, length in enumerate(lengths):
        garbage[row, :, length:] = (tokens[row, :, length:] + 7) % 20
        alone = {name: value[row : row + 1] for name, value in text.items()}
        expected = decoder(tokens[row : row + 1, :, :length], **alone)[0]
        torch.testing.assert_close(ragged[row, :, :length], expected, atol=1e-10, rtol=1e-10)
        assert not ragged[row, :, length:].any()
    assert torch.equal(ragged, decoder(garbage, lengths, **text))


def test_padding_is_not_computed(config, text):
    """Every linear map sees the real positions alone, and the recurrence the longest row."""
    model = HybridDecoder(config, draw(1)).double()
    lengths = [11, 4]
    rows = []

    def count(module: nn.Linear, inputs: tuple[torch.Tensor]) -> None:
        rows.append(inputs[0].numel() // module.in_features)

    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and not name.endswith(("cross.k_proj", "cross.v_proj")):
            module.register_forward_pre_hook(count)
    tokens = torch.randint(0, 20, (2, config.codebooks, 17), generator=draw(2))
    model(tokens, lengths, **text)
    assert set(rows) == {sum(lengths)}
    rows.clear()
    model(tokens, **text)
    assert set(rows) == {2 * 17}


def test_gradients_of_a_ragged_batch(config, text):
    """The gradient of a ragged batch is the sum of the gradients of its rows."""
    tokens = torch.randint(0, 20, (2, config.codebooks, 17), generator=draw(2))
    lengths = [13, 6]
    weight = torch.randn(2, config.codebooks, 17, config.vocabulary, generator=draw(4), dtype=torch.float64)
    model = HybridDecoder(config, draw(1)).double()
    (model(tokens, lengths, **text) * weight).sum().backward()
    together = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    for row, length in enumerate(lengths):
        alone = {name: value[row : row + 1] for name, value in text.items()}
        logits = model(tokens[row : row + 1, :, :length], **alone)
        (logits * weight[row, :, :length]).sum().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(together[name], parameter.grad, atol=1e-9, rtol=1e-9, msg=name)


@torch.no_grad()
def test_cross_attention_starts_silent(small):
    """A fresh decoder with cross-attention says the same with text, without text, and as one that has none."""
    config = replace(small, cross_attention=(2, 4), text_width=10)
    model = HybridDecoder(config, draw(1)).eval()
    tokens = torch.randint(0, 20, (2, 3, 9), generator=draw(2))
    spoken = torch.randn(2, 5, 10, generator=draw(3))
    plain = HybridDecoder(small, draw(1)).eval()
    own = plain.state_dict()
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if name in own})
    assert torch.equal(model(tokens, text=spoken), model(tokens))
    assert torch.equal(model(tokens), plain(tokens))
    model.blocks[1].cross.gate.fill_(0.5)
    assert not torch.equal(model(tokens, text=spoken), model(tokens))


def test_cross_attention_learns_from_silence(small):
    """Silent is not dead: the gate of a fresh decoder has a gradient."""
    model = HybridDecoder(replace(small, cross_attention=(2,), text_width=10), draw(1))
    tokens = torch.randint(0, 20, (2, 3, 9), generator=draw(2))
    model(tokens, text=torch.randn(2, 5, 10, generator=draw(3))).square().sum().backward()
    assert model.blocks[1].cross.gate.grad.abs() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"tokens": torch.zeros(2, 4, 9, dtype=torch.long)}, r"\[2, 4, 9\]", id="codebooks"),
        pytest.param({"tokens": torch.zeros(2, 3, 0, dtype=torch.long)}, r"\[2, 3, 0\]", id="no step"),
        pytest.param({"tokens": torch.zeros(2, 3, 9)}, "float32", id="floats"),
        pytest.param({"tokens": torch.full((2, 3, 9), 23)}, "23 to 23", id="beyond the vocabulary"),
        pytest.param({"tokens": torch.full((2, 3, 9), -1)}, "-1 to -1", id="negative"),
        pytest.param({"lengths": [9]}, r"\[1\]", id="too few lengths"),
        pytest.param({"lengths": [10, 4]}, "4 to 10", id="length too long"),
        pytest.param({"lengths": [9, 0]}, "0 to 9", id="length 0"),
        pytest.param({"text": torch.zeros(2, 3, 10)}, "without cross-attention", id="text nobody reads"),
    ],
)
def test_refused_by_name(small, arguments, message):
    model = HybridDecoder(small, draw(1))
    with pytest.raises(BookError, match=message):
        model(**{"tokens": torch.zeros(2, 3, 9, dtype=torch.long), **arguments})


def test_learned_positions_end(small):
    model = HybridDecoder(replace(small, positions="learned", max_positions=8), draw(1))
    with pytest.raises(BookError, match="max_positions=8"):
        model(torch.zeros(1, 3, 9, dtype=torch.long))


def test_bf16_autocast_stays_close(config, decoder, text):
    """Under bf16 autocast logits stay within 1 % of the full-precision ones (0.3 to 0.4 % seen), gradients finite."""
    model = decoder.float()
    tokens = torch.randint(0, 20, (2, config.codebooks, 17), generator=draw(2))
    text = {name: value.float() if value.is_floating_point() else value for name, value in text.items()}
    with torch.autocast("cpu", torch.bfloat16):
        low = model(tokens, [17, 9], **text)
    assert low.dtype == torch.bfloat16
    low.float().square().sum().backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters() if weight.grad is not None)
    full = model(tokens, [17, 9], **text).detach()
    assert (low.detach().float() - full).square().mean().sqrt() < 0.01 * full.square().mean().sqrt()
