"""Training on a budget: once through, at any scale, with dead features revived or left; and captures that are kept."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from lib.errors import BookError
from lib.models import neox_ladder
from lib.models.neox_ladder import LadderConfig
from lib.models.sparse_autoencoder import TopKSAE
from lib.models.split_model import streams
from lib.trainers.activations import captured, digest
from lib.trainers.ladder import LadderTraining, next_token_loss, rung, train_rung
from lib.trainers.sae_tokens import TokenBudget, revival_loss, train_on_budget


def planted(count=6000, scale=1.0):
    g = torch.Generator().manual_seed(0)
    truth = torch.nn.functional.normalize(torch.randn(12, 8, generator=g), dim=1)
    active = torch.rand(count, 12, generator=g).topk(2, dim=1).indices
    strength = 0.5 + torch.rand(count, 2, generator=g)
    return truth, scale * ((truth[active] * strength[..., None]).sum(dim=1) + 3.0)


def fit(x, features=24, k=2, seed=1, **recipe):
    g = torch.Generator().manual_seed(seed)
    return train_on_budget(TopKSAE(8, features, k, g), x, TokenBudget(batch=32, rate=5e-3, **recipe), generator=g)


def test_directions_that_are_there_are_found_in_one_pass():
    truth, x = planted(40_000)
    found = fit(x)
    assert (truth @ found.model.decoder.detach().T).max(dim=1).values.mean() > 0.9
    assert found.losses[-50:].mean() < 0.3 * found.losses[:5].mean()
    assert found.tokens == 40_000


@pytest.mark.parametrize("scale", [1e-3, 700.0])
def test_the_scale_of_activations_does_not_matter(scale):
    sides = [(planted(scale=factor)[1], factor) for factor in (1.0, scale)]
    again = [fit(x).model(x)[0].detach() / factor for x, factor in sides]
    error = ((again[0] - again[1]).square().sum() / again[0].var(dim=0).sum() / len(again[0])).sqrt()
    assert error < 0.02


def test_every_activation_is_seen_once(monkeypatch):
    x = torch.arange(64.0)[:, None] * torch.ones(1, 8) + torch.rand(64, 8, generator=torch.Generator().manual_seed(0))
    seen = []
    forward = TopKSAE.forward
    monkeypatch.setattr(TopKSAE, "forward", lambda self, rows: (seen.append(rows), forward(self, rows))[1])
    fit(x)
    rows = torch.cat(seen[1:])  # the first call sets the scale of the encoder
    scale = rows.norm() / x.norm()
    assert torch.allclose(rows[:, 0].sort().values / scale, x[:, 0].sort().values, rtol=1e-4)


def test_the_same_seed_gives_the_same_bits():
    x = planted(500)[1]
    assert torch.equal(fit(x).model.decoder, fit(x).model.decoder)


def test_the_revival_loss_is_its_formula_and_teaches_dead_features_alone():
    x = planted(200)[1]
    model = TopKSAE(8, 20, 3, torch.Generator().manual_seed(0))
    dead = torch.zeros(20, dtype=torch.bool)
    dead[4:9] = True
    again = model(x)[0].detach()
    pre = torch.relu((x - model.decoder_bias) @ model.encoder.T + model.encoder_bias)[:, 4:9]
    values, picked = pre.topk(2, dim=1)
    rebuilt = (values[..., None] * model.decoder[4:9][picked]).sum(dim=1)
    error = x - again
    expected = (rebuilt - error).square().sum() / error.square().sum()
    found = revival_loss(model, x, again, dead, 2)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    found.backward()
    for weight in (model.encoder, model.decoder):
        assert weight.grad[dead].abs().sum() > 0
        assert weight.grad[~dead].abs().sum() == 0
    assert revival_loss(model, x, again, torch.zeros(20, dtype=torch.bool), 2) == 0


def test_revival_is_used_only_when_asked_for_and_only_for_the_dead():
    x = planted(3000)[1]
    plain, late, early = (fit(x, revive=r, dead_after=d) for r, d in ((0.0, 1), (1 / 32, 10**6), (1 / 32, 64)))
    assert torch.equal(plain.model.decoder, late.model.decoder)
    assert not torch.equal(plain.model.decoder, early.model.decoder)


@pytest.fixture(scope="module")
def tiny():
    return neox_ladder.build(LadderConfig(width=16, vocabulary=30, context=8), seed=0)


ROWS = torch.randint(30, (40, 8), generator=torch.Generator().manual_seed(2))


def test_captures_are_kept_and_named_by_what_they_depend_on(tiny, tmp_path):
    found = captured(tiny, [0, 2], ROWS, tmp_path)
    right = streams(tiny, [0, 2], ROWS)
    for layer in (0, 2):
        torch.testing.assert_close(found[layer].float(), right[layer].half().float())
    (file,) = tmp_path.iterdir()
    before = file.stat().st_mtime_ns
    again = captured(tiny, [0, 2], ROWS, tmp_path)
    assert file.stat().st_mtime_ns == before
    assert torch.equal(again[2], found[2])
    assert torch.equal(captured(tiny, [0, 2], ROWS)[2], found[2])
    other = neox_ladder.build(LadderConfig(width=16, vocabulary=30, context=8), seed=1)
    names = {
        digest(tiny, [0, 2], ROWS),
        digest(other, [0, 2], ROWS),
        digest(tiny, [0], ROWS),
        digest(tiny, [0, 2], ROWS[:1]),
    }
    assert len(names) == 4


def test_values_beyond_half_precision_survive(tiny, tmp_path):
    huge = copy.deepcopy(tiny)
    with torch.no_grad():
        huge.get_input_embeddings().weight[:, 3] += 3e5  # half precision ends at 65,504
    found = captured(huge, [0], ROWS, tmp_path)[0]
    torch.testing.assert_close(found, streams(huge, [0], ROWS)[0], rtol=1e-3, atol=200.0)
    assert found.isfinite().all()
    assert found.abs().max() > 2e5
    torch.testing.assert_close(captured(huge, [0], ROWS, tmp_path)[0], found)


def test_a_rung_learns_and_is_read_when_it_is_there(tmp_path):
    rows = torch.arange(8).repeat(200, 1)  # a sequence that can be learnt by heart
    shape, recipe = LadderConfig(width=16, vocabulary=30, context=8), LadderTraining(batch=4)
    model = rung(shape, rows, recipe, 0, tmp_path)
    with torch.no_grad():
        assert next_token_loss(model(rows[:2]).logits, rows[:2]) < 2.0 < math.log(30)
    (file,) = tmp_path.iterdir()
    before = file.stat().st_mtime_ns
    again = rung(shape, rows, recipe, 0, tmp_path)
    fresh = rung(shape, rows, recipe, 0)
    for one, two, three in zip(model.parameters(), again.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)
    assert file.stat().st_mtime_ns == before
    rung(shape, rows, recipe, 1, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: TokenBudget(batch=0), "above 0"),
        (lambda: fit(torch.ones(100, 8)), "all activations are equal"),
        (lambda: fit(torch.rand(10, 8)), "at least a batch"),
        (lambda: fit(torch.rand(100, 7)), "a width of 8"),
        (lambda: LadderTraining(rate=0.0), "above 0"),
        (lambda: train_rung(None, ROWS[:1], LadderTraining(), 0), "no batch of 8"),
    ],
)
def test_bad_input_in_one_line(call, told):
    with pytest.raises(BookError, match=told):
        call()


def test_the_encoder_starts_at_the_scale_that_rebuilds_best():
    x = planted(3000)[1]
    g = torch.Generator().manual_seed(1)
    almost_untrained = TokenBudget(batch=3000, rate=1e-9)
    model = train_on_budget(TopKSAE(8, 60, 20, g), x, almost_untrained, generator=g).model
    with torch.no_grad():
        left = (model(x)[0] - x).square().sum() / (x - x.mean(dim=0)).square().sum()
    assert left < 0.5  # directions that overlap would add up to several times the activation
