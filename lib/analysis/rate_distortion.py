"""What a sparse code costs in bits: which features are on, and how large.

Two codes for the first part. The uniform one names one of C(F, k) sets and needs no knowledge of the features. The
other codes every feature as on or off by its own frequency, as if features were independent: sum_f h(p_f) bits with
h the entropy of a coin. It is a code one could run (arithmetic coding with a table of frequencies), it is below the
uniform one whenever some features are commoner than others, and it ignores what features say of each other.
Every value that is on costs `value_bits` more. Chapter 05.
"""

from __future__ import annotations

from math import lgamma, log

import torch
from torch import Tensor

from lib.errors import BookError


def uniform_bits(features: int, k: int, value_bits: float = 8) -> float:
    """log2 C(F, k) + value_bits k: bits of a token whose k features are any of F, all sets alike."""
    if not 0 <= k <= features:
        raise BookError(f"k={k} of {features} features; give 0 to {features}")
    return (lgamma(features + 1) - lgamma(k + 1) - lgamma(features - k + 1)) / log(2) + value_bits * k


def frequency_bits(counts: Tensor, tokens: int, value_bits: float = 8) -> float:
    """Bits of a token when feature f is on in counts[f] of some tokens: sum_f h(counts[f] / tokens), and the values.

    The frequencies are those of the tokens that are coded; a code for new tokens would pay a little more.
    """
    share = (counts.double() / tokens).clamp(0, 1)
    if float(counts.max()) > tokens:
        raise BookError(f"a feature is on {int(counts.max())} times in {tokens} tokens; count each token once")
    entropy = torch.special.entr(share) + torch.special.entr(1 - share)
    return float(entropy.sum()) / log(2) + value_bits * float(share.sum())


def firing_counts(features: Tensor, values: Tensor, count: int) -> Tensor:
    """In how many tokens each of `count` features carries a value above 0, [count]; features, values: [N, k]."""
    return torch.bincount(features[values > 0], minlength=count)


def quantised(values: Tensor, bits: int = 8) -> Tensor:
    """Values [N, k], 0 or more, on 2^bits levels from 0 to the largest: what `value_bits` of a code can carry."""
    top = values.max().clamp_min(1e-12) / (2**bits - 1)
    return (values / top).round() * top
