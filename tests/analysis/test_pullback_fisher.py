"""The sampled metric against the dense one, its spectrum under a change of coordinates, and errors of equal size."""

from __future__ import annotations

import pytest
import torch

from lib.analysis.error_controls import isotropic, shuffled
from lib.analysis.proxy_gap import participation_ratio, r_squared
from lib.analysis.pullback_fisher import alignment, covariance, felt_spectrum, pullback_fisher
from lib.errors import BookError
from lib.models import neox_ladder
from lib.models.neox_ladder import LadderConfig
from lib.models.split_model import SplitModel


@pytest.fixture(scope="module")
def parts():
    model = neox_ladder.build(LadderConfig(width=8, head_width=8, vocabulary=12, context=5), seed=0)
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.5 * torch.randn(weight.shape, generator=g))
    return SplitModel(model, 1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def dense(parts, stream):
    """Mean over tokens of sum_t' J^T F J, J of the logits at t' by the token's own activation."""
    total = torch.zeros(stream.shape[2], stream.shape[2], dtype=torch.float64)
    for one in stream:
        jacobian = torch.autograd.functional.jacobian(lambda h: parts.tail(h[None])[0, :-1], one).double()
        p = parts.tail(one[None])[0, :-1].softmax(dim=-1).double().detach()
        fisher = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        total += torch.einsum("tvsd,tvw,twse->de", jacobian[:, :, :-1], fisher, jacobian[:, :, :-1])
    return total / (len(stream) * (stream.shape[1] - 1))


def test_drawn_labels_give_the_metric(parts):
    with torch.no_grad():
        stream = parts.head(torch.randint(12, (3, 5), generator=generator()))
    expected = dense(parts, stream)
    errors = [
        float((pullback_fisher(parts, stream, generator=generator(1), draws=n) - expected).norm() / expected.norm())
        for n in (20, 400)
    ]
    assert errors[1] < 0.15
    assert errors[1] < errors[0]


def test_the_felt_spectrum_does_not_depend_on_coordinates():
    g = generator()
    c, m, change = (torch.randn(6, 6, generator=g, dtype=torch.float64) for _ in range(3))
    c, m, back = c @ c.T, m @ m.T, torch.linalg.inv(change)
    found = felt_spectrum(c, m)
    assert float(found.sum()) == pytest.approx(float((m @ c).trace()))
    assert torch.allclose(felt_spectrum(change @ c @ change.T, back.T @ m @ back), found, rtol=1e-6)


def test_variance_that_is_not_felt_leaves_the_felt_spectrum():
    c, m = torch.diag(torch.tensor([1e6, 1.0, 1.0, 1.0])), torch.diag(torch.tensor([0.0, 1.0, 1.0, 1.0]))
    assert participation_ratio(torch.linalg.eigvalsh(c).flip(0)) == pytest.approx(1, abs=1e-4)
    assert participation_ratio(felt_spectrum(c, m)) == pytest.approx(3)
    assert alignment(c, m) < 1e-5
    assert alignment(m, 5 * m) == pytest.approx(1)


def test_covariance_is_about_the_mean():
    x = torch.randn(4, 50, 3, generator=generator()) + 7
    assert torch.allclose(covariance(x), torch.cov(x.flatten(0, 1).T.double(), correction=0))


def test_too_few_gradients_are_refused(parts):
    with pytest.raises(BookError, match="more draws"):
        pullback_fisher(parts, torch.zeros(1, 3, 8), generator=generator(), draws=1)


@pytest.mark.parametrize("control", [isotropic, shuffled])
def test_controls_keep_the_squared_error(control):
    x = torch.randn(200, 5, generator=generator())

    def rebuild(a):
        return 0.5 * a + 0.1, None

    again = control(rebuild, generator(1))(x)[0]
    assert r_squared(x, again) == pytest.approx(r_squared(x, rebuild(x)[0]), abs=1e-5)
    assert not torch.allclose(again, rebuild(x)[0])
    sizes = (again - x).norm(dim=1), (rebuild(x)[0] - x).norm(dim=1)
    if control is isotropic:
        assert torch.allclose(*sizes, rtol=1e-5)
    assert torch.allclose(sizes[0].sort().values, sizes[1].sort().values, rtol=1e-5)
