"""Each foreseen cost against finite differences of the model, and the identities that tie them to each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lib.analysis.patched_loss import PatchedModel
from lib.analysis.sensitivity import PROXIES, SensitiveModel, fisher_norm, loss_gradient, pushed_forward
from lib.errors import BookError
from lib.models import neox_ladder
from lib.models.neox_ladder import LadderConfig
from lib.models.split_model import SplitModel

SEQUENCES = torch.randint(40, (6, 10), generator=torch.Generator().manual_seed(1))


def in_double(model, scale=0.3):
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(scale * torch.randn(weight.shape, generator=g))
    return model.double()


@pytest.fixture(scope="module")
def parts():
    return SplitModel(in_double(neox_ladder.build(LadderConfig(width=16, vocabulary=40, context=10), seed=0)), 1)


@pytest.fixture(scope="module")
def bench(parts):
    return SensitiveModel(parts, SEQUENCES, batch=4)


@pytest.fixture(scope="module")
def error(bench):
    return torch.randn(bench.stream.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=16,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return in_double(LlamaForCausalLM(shape), 0.1).eval()


def moved(bench, error, size):
    """The distortions of an error of that size."""
    return bench.distortions(lambda x: (x + size * error[bench.where], None))


def nats(bench, stream):
    """The loss of every prediction, [n, T - 1]."""
    with torch.no_grad():
        logits = bench.parts.tail(stream)[:, :-1]
    return F.cross_entropy(logits.transpose(1, 2), bench.sequences[:, 1:], reduction="none")


@pytest.fixture(params=["gpt_neox", "llama"])
def both_kinds(request, parts):
    """A split model, a step for finite differences, their tolerance; Llama's norm works in single precision."""
    return (parts, 1e-5, 1e-7) if request.param == "gpt_neox" else (SplitModel(llama(), 1), 1e-3, 1e-3)


def test_forward_mode_is_the_central_difference(both_kinds):
    parts, step, tolerance = both_kinds
    stream = parts.head(SEQUENCES).detach()
    delta = torch.randn(stream.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    logits, change = pushed_forward(parts, stream, delta)
    with torch.no_grad():
        assert torch.allclose(logits, parts.tail(stream))
        expected = (parts.tail(stream + step * delta) - parts.tail(stream - step * delta)) / (2 * step)
    assert (change - expected).norm() < tolerance * expected.norm()


def test_forward_mode_is_double_backward(both_kinds):
    parts, _, tolerance = both_kinds
    stream = parts.head(SEQUENCES[:2]).detach().requires_grad_()
    delta = torch.randn(stream.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        logits = parts.tail(stream)
        weights = torch.zeros_like(logits).requires_grad_()
        back = torch.autograd.grad(logits, stream, weights, create_graph=True)[0]
        expected = torch.autograd.grad(back, weights, delta)[0]
    assert torch.allclose(pushed_forward(parts, stream.detach(), delta)[1], expected, atol=tolerance / 10)


def test_the_gradient_is_the_slope_of_each_token(bench):
    step = 1e-6
    for row, token, coordinate in ((0, 0, 0), (1, 4, 7), (5, 8, 15)):
        plus, minus = bench.stream.clone(), bench.stream.clone()
        plus[row, token, coordinate] += step
        minus[row, token, coordinate] -= step
        slope = (nats(bench, plus)[row].sum() - nats(bench, minus)[row].sum()) / (2 * step)
        assert bench.gradient[row, token, coordinate] == pytest.approx(float(slope), abs=1e-7)
    assert not bench.gradient[:, -1].any()


def test_first_order_is_the_slope_of_the_loss(bench, error):
    step = 1e-6
    slope = (nats(bench, bench.stream + step * error) - nats(bench, bench.stream - step * error)) / (2 * step)
    found = moved(bench, error, 1.0)
    assert found.slopes == pytest.approx(slope.sum(dim=1).numpy(), abs=1e-6)
    assert float(found.proxies()["first"]) == pytest.approx(float(slope.mean()), abs=1e-6)


def test_swd_is_the_mean_square_of_each_tokens_own_slope(bench, error):
    step, found = 1e-6, moved(bench, error, 1.0)
    squares = torch.zeros(SEQUENCES.shape, dtype=torch.float64)
    for token in range(SEQUENCES.shape[1]):
        alone = torch.zeros_like(error)
        alone[:, token] = step * error[:, token]
        change = nats(bench, bench.stream + alone).sum(dim=1) - nats(bench, bench.stream - alone).sum(dim=1)
        squares[:, token] = (change / (2 * step)).square()
    assert found.squared_slopes == pytest.approx(squares.sum(dim=1).numpy(), rel=1e-5)
    assert float(found.proxies()["swd"]) == pytest.approx(float(squares.mean()), rel=1e-5)
    assert (found.absolute_slopes >= np.abs(found.slopes)).all()


def test_gauss_newton_is_the_second_order_of_the_divergence(bench, error):
    size = 1e-3
    found = moved(bench, error, size)
    assert found.divergences == pytest.approx(found.curvatures, rel=2e-2)
    smaller = moved(bench, error, size / 10)
    assert smaller.divergences == pytest.approx(smaller.curvatures, rel=2e-3)
    assert smaller.curvatures == pytest.approx(found.curvatures / 100, rel=1e-6)


def test_gauss_newton_is_the_dense_product(parts):
    """The term by full Jacobian and full Fisher matrix, token by token of one short sequence."""
    rows = SEQUENCES[:2, :4]
    bench = SensitiveModel(parts, rows, batch=1)
    error = torch.randn(bench.stream.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    expected = []
    for row in range(2):
        jacobian = torch.autograd.functional.jacobian(lambda h: parts.tail(h[None])[0, :-1], bench.stream[row])
        change = torch.einsum("tvsd,sd->tv", jacobian, error[row])
        with torch.no_grad():
            p = parts.tail(bench.stream[row][None])[0, :-1].softmax(dim=-1)
        fisher = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        expected.append(float(torch.einsum("tv,tvw,tw->", change, fisher, change)) / 2)
    assert moved(bench, error, 1.0).curvatures == pytest.approx(np.array(expected), rel=1e-9)


def test_swd_over_the_models_own_labels_is_twice_gauss_newton(parts):
    """Fisher's identity, exact for one prediction: the sum over labels of p (g . delta)^2 is delta^T J^T F J delta."""
    rows = SEQUENCES[:2, :2]
    bench = SensitiveModel(parts, rows)
    error = torch.randn(bench.stream.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    with torch.no_grad():
        p = parts.tail(bench.stream)[:, 0].softmax(dim=-1)
    total = torch.zeros(2, dtype=torch.float64)
    for label in range(40):
        g = loss_gradient(parts, bench.stream, torch.full((2, 2), label))
        total += p[:, label] * (g * error).sum(dim=(1, 2)).square()
    assert moved(bench, error, 1.0).curvatures == pytest.approx(total.numpy() / 2, rel=1e-9)


def test_second_order_foresees_a_small_change(bench, error):
    for size in (1e-3, 3e-3):
        found = moved(bench, error, size)
        assert found.added == pytest.approx(float(found.proxies()["first"]), rel=0.1)
        assert abs(found.added - float(found.proxies()["second"])) < size**1.5


def test_the_bench_agrees_with_its_parent(bench, error):
    found = moved(bench, error, 0.2)
    plain = PatchedModel(bench.parts, SEQUENCES, batch=4).score(lambda x: (x + 0.2 * error[bench.where], None))
    assert 1 - float(found.proxies()["r2"]) == pytest.approx(plain.r2)
    assert 1 - float(found.proxies()["cosine"]) == pytest.approx(plain.cosine)
    assert found.added == pytest.approx(plain.excess)
    assert 1 - float(found.targets()["ce"]) == pytest.approx(plain.ce_recovered)


def test_only_marked_tokens_are_counted(bench, error):
    where = torch.zeros_like(SEQUENCES, dtype=torch.bool)
    where[:, 2:4] = True
    part = bench.restricted(where)
    found = moved(part, error, 0.2)
    assert found.tokens.tolist() == [2] * 6
    assert found.errors == pytest.approx((0.2 * error[:, 2:4]).square().sum(dim=(1, 2)).numpy())
    assert found.added != pytest.approx(moved(bench, error, 0.2).added, rel=0.05)


def test_weights_pick_sequences(bench, error):
    found = moved(bench, error, 0.2)
    weights = np.zeros((2, 6))
    weights[0], weights[1, 3] = 1, 2
    drawn = found.proxies(weights)
    assert set(drawn) == set(PROXIES)
    for name, value in found.proxies().items():
        assert drawn[name][0] == pytest.approx(value)
    assert drawn["swd"][1] == pytest.approx(found.squared_slopes[3] / 10)


def test_the_truth_costs_nothing(bench):
    found = bench.distortions(lambda x: (x, None))
    assert found.added == 0
    assert {name: float(value) for name, value in found.proxies().items()} == pytest.approx(dict.fromkeys(PROXIES, 0))


def test_fisher_norm_is_a_variance():
    log_p = torch.tensor([[0.5, 0.25, 0.25]]).log()
    assert float(fisher_norm(log_p, torch.tensor([[1.0, 1.0, 1.0]]))) == pytest.approx(0, abs=1e-7)
    assert float(fisher_norm(log_p, torch.tensor([[2.0, 0.0, 0.0]]))) == pytest.approx(1)


def test_a_wrong_shape_is_refused(bench):
    with pytest.raises(BookError, match="give as many, finite"):
        bench.distortions(lambda x: (x[:2], None))
    with pytest.raises(BookError, match="give as many, finite"):
        bench.distortions(lambda x: (x * float("nan"), None))
