"""TopK halves: both sparse forms against the dense twin, outputs and gradients, at odd shapes and with repeats."""

from __future__ import annotations

import pytest
import torch

from lib.errors import BookError
from lib.kernels import explain, row_calls, topk_decode, topk_encode
from lib.kernels.topk import compiled

NO_COMPILER = compiled.why_not()
needs_compiler = pytest.mark.skipif(NO_COMPILER is not None, reason=str(NO_COMPILER))
IMPLS = ["sparse", pytest.param("compiled", marks=needs_compiler)]
SHAPES = [(1, 1, 1, 1), (5, 3, 7, 2), (33, 16, 50, 13), (64, 24, 24, 24)]  # N, D, F, k


def gradients(function, leaves, weights):
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    out = function(*leaves)
    (out * weights).sum().backward()
    return out.detach(), [leaf.grad for leaf in leaves]


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_decode_is_its_dense_twin(shape, impl):
    n, width, features, k = shape
    g = torch.Generator().manual_seed(0)
    values = torch.randn(n, k, generator=g, dtype=torch.float64)
    decoder = torch.randn(features, width, generator=g, dtype=torch.float64)
    indices = torch.randint(features, (n, k), generator=g)  # repeats in a row happen
    weights = torch.randn(n, width, generator=g, dtype=torch.float64)
    found, right = (
        gradients(lambda v, d, impl=impl: topk_decode(v, indices, d, impl=impl), [values, decoder], weights)
        for impl in (impl, "naive")
    )
    torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_encode_is_its_dense_twin(shape, impl):
    n, width, features, k = shape
    g = torch.Generator().manual_seed(1)
    sizes = (n, width), (features, width), (features,), (width,)
    leaves = x, encoder, bias, centre = [torch.randn(*size, generator=g, dtype=torch.float64) for size in sizes]
    weights = torch.randn(n, k, generator=g, dtype=torch.float64)

    def encode(x, encoder, bias, centre, impl):
        return topk_encode(x, encoder, bias, k, centre=centre, impl=impl)[0]

    found, right = (
        gradients(lambda *given, impl=impl: encode(*given, impl), leaves, weights) for impl in (impl, "naive")
    )
    torch.testing.assert_close(found, right, rtol=1e-12, atol=1e-12)
    values, indices = topk_encode(x, encoder, bias, k, centre=centre, impl=impl)
    all_of_them = torch.relu((x - centre) @ encoder.T + bias)
    torch.testing.assert_close(all_of_them.gather(1, indices), values, rtol=1e-12, atol=1e-12)
    assert all(len(set(row)) == k for row in indices.tolist())


@needs_compiler
@pytest.mark.parametrize("tile_bytes", [1, 64 * 7 * 40, 1 << 22])
def test_tiles_of_features_find_the_same_rows(tile_bytes, monkeypatch):
    monkeypatch.setattr(compiled, "TILE_BYTES", tile_bytes)
    g = torch.Generator().manual_seed(3)
    x, encoder = torch.randn(7, 5, generator=g), torch.randn(300, 5, generator=g)
    found = topk_encode(x, encoder, torch.zeros(300), 70, impl="compiled")
    right = topk_encode(x, encoder, torch.zeros(300), 70, impl="naive")
    assert torch.equal(found[1], right[1])
    torch.testing.assert_close(found[0], right[0])


@needs_compiler
@pytest.mark.parametrize("scores", ["rising", "falling", "equal", "below zero", "few above zero"])
def test_the_heap_keeps_the_largest_and_of_equals_the_first(scores):
    column = {
        "rising": torch.arange(200.0),
        "falling": 200 - torch.arange(200.0),
        "equal": torch.ones(200),
        "below zero": -torch.ones(200),
        "few above zero": (torch.arange(200) % 50 == 49).float(),
    }[scores]
    values, indices = topk_encode(torch.ones(1, 1), column[:, None], torch.zeros(200), 10, impl="compiled")
    order = sorted(range(200), key=lambda i: (-column[i].clamp_min(0), i))[:10]
    assert indices[0].tolist() == order
    assert torch.equal(values[0], column[order].clamp_min(0))


@needs_compiler
def test_what_is_not_a_number_is_not_hidden():
    encoder = torch.ones(80, 1)
    encoder[70] = torch.nan
    for impl in ("compiled", "naive"):
        values, indices = topk_encode(torch.ones(2, 1), encoder, torch.zeros(80), 3, impl=impl)
        assert values[:, 0].isnan().all()
        assert indices[:, 0].eq(70).all()


@needs_compiler
def test_the_number_of_threads_changes_nothing(monkeypatch):
    monkeypatch.setattr(row_calls, "WORTH_A_THREAD", 1)
    g = torch.Generator().manual_seed(4)
    leaves = [torch.randn(*size, generator=g) for size in ((33, 16), (50, 16), (50,), (16,), (50, 16))]
    weights = torch.randn(33, 16, generator=g)

    def both(x, encoder, bias, centre, decoder):
        values, indices = topk_encode(x, encoder, bias, 13, centre=centre, impl="compiled")
        return topk_decode(values, indices, decoder, impl="compiled")

    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda n=threads: n)
        found.append(gradients(both, leaves, weights))
    for out, grads in found[1:]:
        assert torch.equal(out, found[0][0])
        assert all(torch.equal(one, other) for one, other in zip(grads, found[0][1], strict=True))


@pytest.mark.parametrize("impl", IMPLS)
def test_gradients_are_those_of_finite_differences(impl):
    g = torch.Generator().manual_seed(2)
    values = torch.randn(4, 3, generator=g, dtype=torch.float64, requires_grad=True)
    decoder = torch.randn(6, 5, generator=g, dtype=torch.float64, requires_grad=True)
    indices = torch.randint(6, (4, 3), generator=g)
    assert torch.autograd.gradcheck(lambda v, d: topk_decode(v, indices, d, impl=impl), (values, decoder))


@pytest.mark.parametrize("impl", IMPLS)
def test_unused_rows_get_no_gradient(impl):
    decoder = torch.ones(5, 2, requires_grad=True)
    topk_decode(torch.ones(3, 1), torch.full((3, 1), 4), decoder, impl=impl).sum().backward()
    assert decoder.grad[:4].eq(0).all()
    assert decoder.grad[4].eq(3).all()


@needs_compiler
def test_the_choice_is_told():
    arguments = torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.int64), torch.ones(3, 4)
    assert explain(topk_decode, *arguments).impl == "compiled"
    assert explain("topk_decode", *arguments, impl="naive").impl == "naive"
    halves = explain(topk_decode, arguments[0].half(), arguments[1], arguments[2].half())
    assert halves.impl == "sparse"
    assert "float16 on cpu" in halves.refused["compiled"]


def test_without_a_compiler_it_runs_in_torch(monkeypatch):
    monkeypatch.setattr(compiled, "why_not", lambda: "no C compiler")
    arguments = torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.int64), torch.ones(3, 4)
    assert explain(topk_decode, *arguments).impl == "sparse"
    assert topk_decode(*arguments).eq(1).all()
    with pytest.raises(BookError, match="no C compiler"):
        topk_decode(*arguments, impl="compiled")


@needs_compiler
@pytest.mark.parametrize("index", [-1, 3])
def test_an_index_outside_the_table_is_refused(index):
    with pytest.raises(BookError, match=f"indices from {index} to {index} for 3 rows"):
        topk_decode(torch.ones(2, 1), torch.full((2, 1), index), torch.ones(3, 4), impl="compiled")


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
