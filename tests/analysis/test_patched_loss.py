"""Losses of a patched model against the model itself, and the verdict that stands on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lib.analysis import proxy_gap
from lib.analysis.patched_loss import PatchedModel, principal_rebuild
from lib.analysis.sae_acceptance import Limits, accept
from lib.errors import BookError
from lib.models import neox_ladder
from lib.models.gauge import shifted
from lib.models.neox_ladder import LadderConfig
from lib.models.sparse_autoencoder import TopKSAE
from lib.models.split_model import SplitModel


def noisy(model, scale=0.3):
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(scale * torch.randn(weight.shape, generator=g))
    return model


@pytest.fixture(scope="module")
def model():
    return noisy(neox_ladder.build(LadderConfig(width=16, vocabulary=40, context=12), seed=0))


@pytest.fixture(scope="module")
def bench(model):
    return PatchedModel(SplitModel(model, 1), SEQUENCES, batch=4)


SEQUENCES = torch.randint(40, (10, 12), generator=torch.Generator().manual_seed(1))


def loss(logits):
    return float(F.cross_entropy(logits[:, :-1].flatten(0, 1), SEQUENCES[:, 1:].flatten()))


def by_hook(model, change):
    hook = model.gpt_neox.layers[1].register_forward_hook(lambda module, inputs, output: change(output))
    try:
        with torch.no_grad():
            return loss(model(SEQUENCES, use_cache=False).logits)
    finally:
        hook.remove()


def test_the_truth_loses_nothing(bench, model):
    found = bench.score(lambda x: (x, None))
    assert found.loss == found.clean == pytest.approx(by_hook(model, lambda x: x), abs=1e-5)
    assert found.ce_recovered == 1
    assert found.recovered == 1
    assert found.r2 == 1
    assert found.alive is None


def test_a_patch_is_what_a_hook_does(bench, model):
    found = bench.score(lambda x: (0.5 * x + 1, None))
    assert found.loss == pytest.approx(by_hook(model, lambda x: 0.5 * x + 1), abs=1e-5)
    assert found.ablated == pytest.approx(by_hook(model, torch.zeros_like), abs=1e-5)
    assert bench.score(lambda x: (torch.zeros_like(x), None)).recovered == pytest.approx(0, abs=1e-6)
    x = bench.activations
    assert found.r2 == pytest.approx(proxy_gap.r_squared(x, 0.5 * x + 1))
    assert found.excess == pytest.approx(found.loss - found.clean)


def test_only_marked_tokens_are_replaced(bench, model):
    where = torch.zeros_like(SEQUENCES, dtype=torch.bool)
    where[:, 3:5] = True
    part = bench.restricted(where)
    assert part.activations.shape == (20, 16)
    assert bench.activations.shape == (120, 16)
    found = part.score(lambda x: (torch.zeros_like(x), None))
    right = by_hook(model, lambda x: torch.where(where[..., None], 0.0, x))
    assert found.loss == pytest.approx(right, abs=1e-5)
    assert found.ablated == pytest.approx(right, abs=1e-5)


def test_sums_by_sequence_give_the_whole_and_the_intervals_hold_it(bench):
    sae = TopKSAE(16, 64, 6, torch.Generator().manual_seed(0)).eval()
    found = bench.score(sae, features=64)
    assert 1 - found.errors.sum() / found.totals.sum() == pytest.approx(found.r2, abs=1e-6)
    assert found.losses.mean() == pytest.approx(found.loss)
    ends = found.intervals(np.random.default_rng(0), draws=500)
    for name in ("r2", "ce_recovered", "excess"):
        assert ends[name][0] <= getattr(found, name) <= ends[name][1]
    assert 0 < found.alive <= 1
    assert found.bits > 0


def test_a_shift_moves_r2_and_not_the_loss(model):
    twin = shifted(model, 1e5, seed=0)
    ours, theirs = (PatchedModel(SplitModel(one, 1), SEQUENCES) for one in (model, twin))
    assert theirs.clean_losses == pytest.approx(ours.clean_losses, abs=1e-2)
    rough = [one.score(principal_rebuild(one.activations, 1)) for one in (ours, theirs)]
    assert rough[1].r2 > 0.99 > rough[0].r2
    assert rough[1].deflated_r2 < 0.7


def test_principal_components_are_the_best_linear_code(bench):
    x = bench.activations
    found = bench.score(principal_rebuild(x, 4))
    eigenvalues = proxy_gap.spectrum(x)
    assert found.r2 == pytest.approx(float(eigenvalues[:4].sum() / eigenvalues.sum()), abs=1e-4)
    assert bench.score(principal_rebuild(x, 16)).r2 == pytest.approx(1, abs=1e-4)


@pytest.fixture(scope="module")
def good(bench):
    sae = TopKSAE(16, 64, 6, torch.Generator().manual_seed(0)).eval()
    found = bench.score(sae, features=64)
    better = {"loss": found.clean + 0.01, "ablated": found.clean + 2, "r2": 0.95, "deflated_r2": 0.93, "alive": 0.8}
    return replace(found, **better)


def test_a_good_one_passes_and_each_fault_is_named(good):
    linear, away = replace(good, loss=good.clean + 0.5), replace(good, loss=good.clean + 0.015)
    assert accept(good, 0.05, linear, away).accepted
    assert str(accept(good, 0.05, linear)) == "accepted"
    faults = {
        "added loss": (good, 0.2, linear, away),
        "recovered": (replace(good, ablated=good.clean + 0.05), 0.05, linear, away),
        "better than linear": (good, 0.05, replace(good, loss=good.clean), away),
        "no single direction": (replace(good, deflated_r2=0.4), 0.05, linear, away),
        "alive features": (replace(good, alive=0.2), 0.05, linear, away),
        "other text": (good, 0.05, linear, replace(good, loss=good.clean + 0.1)),
    }
    for name, given in faults.items():
        assert accept(*given).failed == [name]


def test_a_high_r2_alone_is_never_accepted(good):
    bought = replace(good, r2=0.999, deflated_r2=0.2, loss=good.clean + 1)
    assert not accept(bought, 1.1, replace(good, loss=good.clean + 2)).accepted


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda bench, good: bench.score(lambda x: (x[:3], None)), "as many, finite"),
        (lambda bench, good: bench.score(lambda x: (x * torch.nan, None)), "as many, finite"),
        (lambda bench, good: bench.restricted(torch.zeros_like(SEQUENCES, dtype=torch.bool)), "at least one token"),
        (lambda bench, good: PatchedModel(bench.parts, SEQUENCES[:1]), "at least 2"),
        (lambda bench, good: accept(replace(good, alive=None), 0.1, good), "no code"),
        (lambda bench, good: Limits(recovered=1.5), "between 0 and 1"),
    ],
)
def test_bad_input_in_one_line(bench, good, call, told):
    with pytest.raises(BookError, match=told):
        call(bench, good)
