"""TopK halves: the sparse form against the dense twin, outputs and gradients, at odd shapes and with repeats."""

from __future__ import annotations

import pytest
import torch

from lib.errors import BookError
from lib.kernels import explain, topk_decode, topk_encode

SHAPES = [(1, 1, 1, 1), (5, 3, 7, 2), (33, 16, 50, 13), (64, 24, 24, 24)]  # N, D, F, k


def gradients(function, leaves, weights):
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    out = function(*leaves)
    (out * weights).sum().backward()
    return out.detach(), [leaf.grad for leaf in leaves]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_decode_is_its_dense_twin(shape):
    n, width, features, k = shape
    g = torch.Generator().manual_seed(0)
    values = torch.randn(n, k, generator=g, dtype=torch.float64)
    decoder = torch.randn(features, width, generator=g, dtype=torch.float64)
    indices = torch.randint(features, (n, k), generator=g)  # repeats in a row happen
    weights = torch.randn(n, width, generator=g, dtype=torch.float64)
    found, right = (
        gradients(lambda v, d, impl=impl: topk_decode(v, indices, d, impl=impl), [values, decoder], weights)
        for impl in ("sparse", "naive")
    )
    torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_encode_is_its_dense_twin(shape):
    n, width, features, k = shape
    g = torch.Generator().manual_seed(1)
    x, encoder, bias = (
        torch.randn(*size, generator=g, dtype=torch.float64) for size in ((n, width), (features, width), (features,))
    )
    weights = torch.randn(n, k, generator=g, dtype=torch.float64)
    found, right = (
        gradients(lambda *leaves, impl=impl: topk_encode(*leaves, k, impl=impl)[0], [x, encoder, bias], weights)
        for impl in ("sparse", "naive")
    )
    torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)
    assert topk_encode(x, encoder, bias, k)[1].shape == (n, k)


def test_gradients_are_those_of_finite_differences():
    g = torch.Generator().manual_seed(2)
    values = torch.randn(4, 3, generator=g, dtype=torch.float64, requires_grad=True)
    decoder = torch.randn(6, 5, generator=g, dtype=torch.float64, requires_grad=True)
    indices = torch.randint(6, (4, 3), generator=g)
    assert torch.autograd.gradcheck(lambda v, d: topk_decode(v, indices, d), (values, decoder))


def test_unused_rows_get_no_gradient():
    decoder = torch.ones(5, 2, requires_grad=True)
    topk_decode(torch.ones(3, 1), torch.full((3, 1), 4), decoder).sum().backward()
    assert decoder.grad[:4].eq(0).all()
    assert decoder.grad[4].eq(3).all()


def test_the_choice_is_told():
    arguments = torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.int64), torch.ones(3, 4)
    assert explain(topk_decode, *arguments).impl == "sparse"
    assert explain("topk_decode", *arguments, impl="naive").impl == "naive"


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (
            lambda: topk_decode(torch.ones(2, 3), torch.zeros(2, 2, dtype=torch.int64), torch.ones(4, 5)),
            r"give \[N, k\]",
        ),
        (lambda: topk_encode(torch.ones(2, 3), torch.ones(4, 5), torch.ones(4), 1), r"give \[N, D\]"),
        (lambda: topk_encode(torch.ones(2, 3), torch.ones(4, 3), torch.ones(4), 5), "k=5 of 4 features"),
        (lambda: topk_encode(torch.ones(2, 3), torch.ones(4, 3), torch.ones(4), 1, impl="magic"), "no implementation"),
    ],
)
def test_bad_input_is_named(call, told):
    with pytest.raises(BookError, match=told):
        call()
