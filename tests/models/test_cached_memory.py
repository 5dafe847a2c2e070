"""Decoders with cached memory: counts of the released classes, forms, causality, gradients, growth, bad input."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lib.errors import BookError
from lib.kernels import gated_residual_memory
from lib.models import CachedMemoryConfig, CachedMemoryDecoder
from lib.models.cached_memory import current, parameters

SMALL = CachedMemoryConfig(
    codebooks=2, vocabulary=11, width=12, layers=2, heads=3, state_size=4, segment=4, max_positions=30, gate_bias=0.0
)
FORMS = {
    "faithful": {"cache": "faithful"},
    "independent": {"cache": "faithful", "mode": "independent"},
    "soup": {"cache": "faithful", "aggregate": "soup"},
    "sparse": {"cache": "faithful", "aggregate": "sparse", "top_k": 1},
    "released": {"cache": "released"},
    "released, divided": {"cache": "released", "normalise": True},
    "none": {"cache": "none"},
    "ssm": {"mixer": "selective_ssm", "cache": "none"},
    "ssm, state": {"mixer": "selective_ssm", "cache": "faithful"},
    "ssm, output": {"mixer": "selective_ssm", "cache": "released"},
}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())


def model_of(seed: int = 0, **changed: object) -> CachedMemoryDecoder:
    return CachedMemoryDecoder(replace(SMALL, **changed), torch.Generator().manual_seed(seed)).double()


def tokens(time: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(11, (3, 2, time), generator=torch.Generator().manual_seed(seed))


def test_the_released_classes_are_counted_to_the_unit():
    found = {}
    with torch.device("meta"):
        for mixer in ("linear_attention", "selective_ssm"):
            for cache in (False, True):
                config = CachedMemoryConfig.released_class(mixer, cache)
                found[mixer, cache] = parameters(CachedMemoryDecoder(config))
    assert list(found.values()) == [66_902_016, 78_698_496, 100_346_112, 111_353_856]
    assert 78_698_496 - 66_902_016 == 20 * 768**2


@forms
@pytest.mark.parametrize("time", [1, 4, 11, 13])
def test_logits_have_their_shape_and_gradients_reach_everything(form, time):
    model = model_of(**form)
    logits = model(tokens(time))
    assert logits.shape == (3, 2, time, 11)
    logits.square().sum().backward()
    silent = {name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()}
    if time > 8:
        assert silent == set()


@forms
def test_the_future_cannot_be_seen(form):
    model = model_of(**form)
    first, second = tokens(13), tokens(13, seed=1)
    second[..., :7] = first[..., :7]
    one, two = model(first), model(second)
    torch.testing.assert_close(one[:, :, :7], two[:, :, :7], rtol=1e-11, atol=1e-11)
    assert (one[:, :, 7:] - two[:, :, 7:]).abs().max() > 1e-3


STREAMED = FORMS | {
    "residual": {"cache": "faithful", "aggregate": "residual"},
    "soup, independent": {"cache": "faithful", "aggregate": "soup", "mode": "independent"},
    "raw reads": {"cache": "faithful", "normalise": False},
    "released, independent": {"cache": "released", "mode": "independent"},
    "uniform gates": {"cache": "faithful", "gates": "uniform", "gate_bias": -2.0},
    "no bias, no positions": {"cache": "faithful", "gate_bias": None, "max_positions": 0},
    "late": {"cache": "faithful", "start_layer": 1},
}


@pytest.mark.parametrize("form", STREAMED.values(), ids=STREAMED.keys())
@pytest.mark.parametrize("time", [1, 4, 13])
def test_step_by_step_gives_the_logits_of_the_whole(form, time):
    """Thirteen steps are three segments of four and one token of a fourth; the prompt ends inside a segment."""
    model = model_of(**{"gate_bias": -0.7} | form)
    given = tokens(time)
    whole = model(given)
    logits, state = model.prefill(given[..., : (time + 1) // 2])
    logits = list(logits.unbind(2))
    for column in given[..., (time + 1) // 2 :].unbind(-1):
        one, state = model.step(column, state)
        logits.append(one)
    torch.testing.assert_close(torch.stack(logits, 2), whole, rtol=1e-10, atol=1e-10)
    assert state.position == time


def test_a_step_leaves_the_state_that_it_was_given_as_it_was():
    model = model_of(cache="faithful")
    _, state = model.prefill(tokens(7))
    once, _ = model.step(tokens(1)[..., 0], state)
    again, _ = model.step(tokens(1)[..., 0], state)
    assert torch.equal(once, again)


def test_the_state_grows_by_one_copy_a_segment_and_not_at_all_without_a_cache():
    sizes = {}
    for cache in ("none", "faithful"):
        model = model_of(cache=cache, layers=1)
        sizes[cache] = [model.prefill(tokens(time))[1].numbers() for time in (5, 9, 13)]
    assert len(set(sizes["none"])) == 1
    copy = 3 * (4 * 4 + 4) + 12  # three heads: a memory of 4 x 4 with its normaliser; the mean of the segment
    first, second, third = sizes["faithful"]
    assert (second - first, third - second) == (copy, copy)


@forms
def test_within_the_first_segment_the_cache_is_silent(form):
    """The same weights without a cache give the same logits there, and others later."""
    cached = model_of(**form)
    bare = model_of(**form | {"cache": "none", "aggregate": "gated", "top_k": None, "normalise": None})
    bare.load_state_dict({k: v for k, v in cached.state_dict().items() if ".gate." not in k})
    one, two = cached(tokens(13)), bare(tokens(13))
    torch.testing.assert_close(one[:, :, :4], two[:, :, :4], rtol=1e-10, atol=1e-10)
    differs = (one[:, :, 4:] - two[:, :, 4:]).abs().max()
    assert differs == 0 if form["cache"] == "none" else differs > 1e-4


def test_the_faithful_block_is_the_kernel():
    model = model_of(cache="faithful", layers=1, gate_bias=None)
    block, x = model.blocks[0], model.embed(tokens(13))
    h = block.norm(x)
    q, k, v = (part(h).unflatten(-1, (3, -1)) for part in (block.mixer.q_proj, block.mixer.k_proj, block.mixer.v_proj))
    u = block.gate.u_proj(h) / 12**0.5
    o, _ = gated_residual_memory(q, k, v, u, h, segment=4, impl="naive")
    torch.testing.assert_close(block(x, None)[0], x + block.mixer.o_proj(o.flatten(-2)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("normalise", [False, True])
def test_the_released_block_gates_the_stream_and_adds_raw_reads(normalise):
    """Token by token, from what the post's code does."""
    model = model_of(cache="released", layers=1, gate_bias=None, normalise=normalise)
    block, x = model.blocks[0], model.embed(tokens(13))
    q, k, v = block.mixer.heads_of(block.norm(x))
    stream = x + block.mixer.o_proj(block.mixer.plain(q, k, v))
    u = block.gate.u_proj(x)
    rows = []
    for t in range(13):
        n = t // 4
        means = [x[:, 4 * i : 4 * i + 4].mean(1) for i in range(n)] + [x[:, 4 * n : t + 1].mean(1)]
        gates = torch.stack([(u[:, t] * mean).sum(-1) / 12**0.5 for mean in means], -1).softmax(-1)
        row = gates[:, -1:] * stream[:, t]
        for i in range(n):
            seen = slice(0, 4 * i + 4)
            read = torch.einsum("bhk,bshk,bshv->bhv", q[:, t], k[:, seen], v[:, seen])
            if normalise:
                read = read / torch.einsum("bhk,bshk->bh", q[:, t], k[:, seen])[..., None]
            row = row + gates[:, i : i + 1] * read.flatten(-2)
        rows.append(row)
    torch.testing.assert_close(block(x, None)[0], torch.stack(rows, 1), rtol=1e-10, atol=1e-10)


def test_the_ssm_reads_states_and_the_proxy_reads_outputs():
    """States and outputs at segment ends are made by running the plain block on the part that ends there."""
    for cache in ("faithful", "released"):
        block = model_of(mixer="selective_ssm", cache=cache, layers=1).blocks[0]
        x = torch.randn(2, 13, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        out, gates = block(x, None)
        alone = x.new_ones(2, 13, 1)
        plain = x + block.mixer.read(block.norm(x), alone, 13)
        if cache == "released":
            t = 9
            right = gates[:, t, 2:3] * plain[:, t] + gates[:, t, 0:1] * plain[:, 3] + gates[:, t, 1:2] * plain[:, 7]
            torch.testing.assert_close(out[:, t], right, rtol=1e-10, atol=1e-10)
            continue
        only_now = torch.nn.functional.one_hot(torch.arange(13) // 4).double().expand(2, -1, -1)
        torch.testing.assert_close(block(x, only_now)[0], plain, rtol=1e-10, atol=1e-10)
        h = block.norm(x)
        reads = [block.mixer.read(h, torch.nn.functional.one_hot(torch.tensor(i), 4).double().expand(2, 13, 4), 4)
                 for i in range(3)]  # fmt: skip
        t = 9
        right = x[:, t] + sum(gates[:, t, i : i + 1] * reads[i][:, t] for i in range(3))
        torch.testing.assert_close(out[:, t], right, rtol=1e-9, atol=1e-9)


def test_the_plain_ssm_is_the_mixer_of_the_hybrid():
    from lib.models.span import Span

    mixer = model_of(mixer="selective_ssm", cache="none").blocks[0].mixer
    x = torch.randn(2, 13, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    span = Span(2, 13)
    right = span.pad(mixer(span.pack(x), span, None)[0])
    torch.testing.assert_close(mixer.read(x, x.new_ones(2, 13, 1), 5 * 13), right, rtol=1e-10, atol=1e-10)


def unit_growth(**changed: object) -> list[float]:
    """RMS of one block's output in the last segment over that in the first, for input of unit size."""
    config = replace(SMALL, width=64, heads=4, segment=16, layers=1, gate_bias=None, **changed)
    block = CachedMemoryDecoder(config, torch.Generator().manual_seed(0)).blocks[0]
    x = torch.randn(2, 128, 64, generator=torch.Generator().manual_seed(1))
    rms = block(x, None)[0].square().mean((0, 2)).sqrt()
    return (rms[-16:].mean() / rms[:16].mean()).item()


def test_the_released_form_grows_and_normalised_reads_cure_it():
    assert unit_growth(cache="released") > 20
    assert unit_growth(cache="released", xavier=True) > 1.5 * unit_growth(cache="released")
    assert unit_growth(cache="released", normalise=True) < 1.1
    assert unit_growth(cache="faithful") == pytest.approx(1, abs=0.1)
    assert unit_growth(cache="released", mode="independent") < unit_growth(cache="released") / 2


def test_a_bias_of_minus_two_gives_one_cached_segment_the_sigmoid_of_it():
    model = model_of(cache="faithful", gates="uniform", gate_bias=-2.0)
    gates = model.trace(tokens(8))[0].gates
    assert gates[0, 7, 0].item() == pytest.approx(0.1192, abs=1e-4)
    assert current(gates, 4)[0, 7].item() == pytest.approx(0.8808, abs=1e-4)


def test_gates_can_be_given_and_are_used():
    model = model_of(cache="faithful")
    given = torch.nn.functional.one_hot(torch.arange(13) // 4).double().expand(3, -1, -1)
    assert torch.equal(model.trace(tokens(13), gates=given)[1].gates, given)
    assert not torch.allclose(model(tokens(13), gates=given), model(tokens(13)))


def test_frozen_gates_stay_and_later_layers_alone_may_cache():
    frozen = model_of(cache="faithful", gates="frozen")
    assert not frozen.blocks[0].gate.u_proj.weight.requires_grad
    assert parameters(frozen) == parameters(model_of(cache="faithful"))
    late = model_of(cache="faithful", start_layer=1)
    assert [trace.gates is None for trace in late.trace(tokens(9))] == [True, False]


WRONG = {
    "no such cache": ({"cache": "mine"}, "cache='mine'; use one of none, faithful, released"),
    "heads that do not divide": ({"heads": 5}, "width=12 does not divide into heads=5"),
    "nothing to start with": ({"start_layer": 2}, r"start_layer=2; blocks are 0\.\.1"),
    "sparse without top_k": ({"cache": "faithful", "aggregate": "sparse"}, "give top_k for 'sparse'"),
    "a soup of streams": ({"aggregate": "soup"}, "aggregate='soup' needs the faithful linear attention"),
    "a restarted ssm": ({"mixer": "selective_ssm", "mode": "independent"}, "mode='independent' is for linear"),
    "no keys": ({"key_size": 0}, "key_size=0; give 1 or more"),
    "no width": ({"width": 0}, "width=0; it must be at least 1"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_configurations_that_do_not_fit_are_refused(wrong):
    changed, message = WRONG[wrong]
    with pytest.raises(BookError, match=message):
        replace(SMALL, **changed)


def test_tokens_that_do_not_fit_are_refused():
    with pytest.raises(BookError, match=r"tokens have shape \[3, 11\]; give \[B, K, T\]"):
        model_of()(tokens(11)[:, 0])
    with pytest.raises(BookError, match="31 steps are more than max_positions=30"):
        model_of()(tokens(31))
    with pytest.raises(BookError, match="31 steps are more than max_positions=30"):
        model_of().prefill(tokens(31))
    with pytest.raises(BookError, match=r"tokens have shape \[3, 2, 0\]; give \[B, K, T\]"):
        model_of().prefill(tokens(0))
