"""Legibility in bits: how short a property of tokens can be told to someone who sees a few features (MDL probing).

The labels of N tokens are sent one block after the other. The first block costs a bit a label; each later one is coded
by a logistic regression fitted to all blocks before it. Inputs from which a property is easy to learn make a short
message, so that a probe that could learn anything from enough data earns nothing by that. Voita and Titov 2020, the
online code; chapter 05, next steps.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor

from lib.analysis.feature_probes import feature_f1
from lib.errors import BookError
from lib.models.sparse_autoencoder import Code

SHARES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)  # of the labels, where blocks end
RIDGE, STEPS = 1.0, 12  # a penalty on weights for inputs of variance 1; Newton steps of one fit


def label_bits(inputs: Tensor, yes: Tensor) -> float:
    """Bits a label of the online code. inputs: [N, P], P may be 0; yes: [N] bool.

    Inputs are known on both sides, so they are scaled to variance 1 over all tokens.
    Raises BookError for shapes that do not fit or fewer than 32 labels.
    """
    if inputs.ndim != 2 or len(inputs) != len(yes) or len(yes) < 32:
        raise BookError(
            f"inputs {tuple(inputs.shape)} for {len(yes)} labels; give [N, P] and [N] with N of at least 32"
        )
    ends = [round(share * len(yes)) for share in SHARES]
    labels, x = yes.double(), inputs.double() - inputs.double().mean(dim=0)
    spread = x.square().mean(dim=0).sqrt()
    x = torch.cat([x / torch.where(spread > 0, spread, 1.0), x.new_ones(len(x), 1)], dim=1)
    bits = float(ends[0])
    for before, end in pairwise(ends):
        odds = x[before:end] @ fitted(x[:before], labels[:before])
        nats = torch.nn.functional.binary_cross_entropy_with_logits(odds, labels[before:end], reduction="sum")
        bits += float(nats) / math.log(2)
    return bits / len(yes)


def fitted(x: Tensor, labels: Tensor) -> Tensor:
    """Weights [P] of a logistic regression: least loss plus RIDGE / 2 |w|^2, by Newton's method with halved steps."""
    w = x.new_zeros(x.shape[1])
    loss = _penalised(w, x, labels)
    for _ in range(STEPS):
        p = torch.sigmoid(x @ w)
        slope = x.T @ (p - labels) + RIDGE * w
        curve = (x.T * (p * (1 - p))) @ x + RIDGE * torch.eye(len(w), dtype=x.dtype)
        step, size = torch.linalg.solve(curve, slope), 1.0
        while size > 1e-6 and (tried := _penalised(w - size * step, x, labels)) > loss:
            size /= 2
        if size <= 1e-6:
            break
        w, loss = w - size * step, tried
    return w


def code_bits(code: Code, yes: Tensor, features: int, count: int) -> float:
    """Bits a label given the `count` features that name the property best (sparse probing, Gurnee et al. 2023).

    The first half of the tokens chooses them, each by its F1 alone; the labels of the second half are sent.
    code: of N tokens; yes: [N] bool; features: how many exist.
    """
    half = len(yes) // 2
    scores = feature_f1(code.features[:half], code.values[:half], yes[:half], features)
    chosen = scores.topk(min(count, features)).indices
    hit = code.features[half:, :, None] == chosen
    return label_bits((code.values[half:, :, None] * hit).sum(dim=1), yes[half:])


def _penalised(w: Tensor, x: Tensor, labels: Tensor) -> Tensor:
    nats = torch.nn.functional.binary_cross_entropy_with_logits(x @ w, labels, reduction="sum")
    return nats + RIDGE / 2 * w.square().sum()
