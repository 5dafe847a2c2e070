"""Legibility in one number: how well a single feature names a property of its token (sparse probing with one feature).

For each yes-or-no property of tokens, the feature that does best on one half of the tokens is chosen and scored on the
other half, so that searching many features earns nothing by itself. A feature answers yes when it fires, and the score
is F1. Gurnee et al. 2023 probe with k features; this is k = 1. Chapter 05, next steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lib.errors import BookError
from lib.models.sparse_autoencoder import Code


@dataclass(frozen=True)
class Probe:
    """The chosen feature, its F1 on the half it was chosen on and on the other, and the F1 of always saying yes."""

    feature: int
    chosen_f1: float
    held_out_f1: float
    base_f1: float


def single_feature_probe(code: Code, property_of: Tensor, features: int) -> Probe:
    """The best single feature for a property. code: of N tokens; property_of: [N] bool; features: how many exist.

    The first half of the tokens chooses, the second scores. Raises BookError when a half holds no or only yes.
    """
    half = len(property_of) // 2
    sides = []
    for part in (slice(0, half), slice(half, None)):
        yes = property_of[part]
        if not 0 < int(yes.sum()) < len(yes):
            raise BookError("the property is the same for a whole half of the tokens; give more tokens or another one")
        sides.append(feature_f1(code.features[part], code.values[part], yes, features))
    best = int(sides[0].argmax())
    share = float(property_of[half:].float().mean())
    return Probe(best, float(sides[0][best]), float(sides[1][best]), 2 * share / (1 + share))


def feature_f1(index: Tensor, values: Tensor, yes: Tensor, features: int) -> Tensor:
    """F1 of every feature [F]: 2 hits / (fired + positives)."""
    fired = values > 0
    owners = fired.nonzero()[:, 0]
    hits = torch.bincount(index[fired], weights=yes[owners].double(), minlength=features)
    total = torch.bincount(index[fired], minlength=features)
    return 2 * hits / (total + int(yes.sum()))
