"""The online code: against a loop by hand, on labels that inputs tell and labels that they do not."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from lib.analysis.description_length import RIDGE, code_bits, fitted, label_bits
from lib.errors import BookError
from lib.models.sparse_autoencoder import Code


def test_without_inputs_it_codes_by_the_share_seen_so_far():
    yes = torch.rand(320, generator=torch.Generator().manual_seed(0)) < 0.2
    ends = [10, 20, 40, 80, 160, 320]
    bits = 10.0
    for before, end in pairwise(ends):
        bias = 0.0
        for _ in range(200):  # Newton's method on the bias alone
            p = 1 / (1 + math.exp(-bias))
            bias -= (before * p - int(yes[:before].sum()) + RIDGE * bias) / (before * p * (1 - p) + RIDGE)
        p = 1 / (1 + math.exp(-bias))
        bits -= sum(math.log2(p if one else 1 - p) for one in yes[before:end].tolist())
    assert label_bits(torch.zeros(320, 0), yes) == pytest.approx(bits / 320, rel=1e-9)


def test_inputs_that_tell_the_label_shorten_the_message_and_noise_does_not():
    g = torch.Generator().manual_seed(1)
    yes = torch.rand(1024, generator=g) < 0.3
    noise = torch.randn(1024, 3, generator=g)
    telling = torch.cat([noise, yes[:, None] + 0.1 * torch.randn(1024, 1, generator=g)], dim=1)
    none, useless, useful = (label_bits(x, yes) for x in (noise[:, :0], noise, telling))
    assert useful < 0.3 * none
    assert none <= useless < 1.3 * none
    assert label_bits(1000 * telling + 7, yes) == pytest.approx(useful, rel=1e-6)


def test_the_fit_is_where_the_slope_is_zero():
    g = torch.Generator().manual_seed(2)
    x = torch.randn(60, 4, generator=g, dtype=torch.float64)
    labels = (torch.rand(60, generator=g) < torch.sigmoid(5 * x[:, 0])).double()
    w = fitted(x, labels)
    slope = x.T @ (torch.sigmoid(x @ w) - labels) + RIDGE * w
    assert slope.abs().max() < 1e-6


def test_the_features_that_name_a_property_are_found():
    g = torch.Generator().manual_seed(3)
    yes = torch.rand(800, generator=g) < 0.25
    features = torch.randint(1, 9, (800, 2), generator=g)
    features[:, 0] = torch.where(yes, 0, features[:, 0])
    code = Code(torch.rand(800, 2, generator=g) + 0.5, features)
    nothing = label_bits(torch.zeros(400, 0), yes[400:])
    assert code_bits(code, yes, 9, 1) < 0.3 * nothing
    assert code_bits(code, yes, 9, 9) < 0.5 * nothing


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(BookError, match=r"give \[N, P\]"):
        label_bits(torch.zeros(40, 2), torch.zeros(41, dtype=torch.bool))
    with pytest.raises(BookError, match="at least 32"):
        label_bits(torch.zeros(8, 2), torch.zeros(8, dtype=torch.bool))
