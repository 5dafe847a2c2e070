"""Which positions of a padded row are trained: the rule that teaches a decoder to stop, and its two neighbours.

Token 0 fills a row after its last real token. A position t is trained under

- no_pads      iff target_t != 0: nothing ever asks for the stop token;
- first_pad    iff target_t != 0 or target_(t-1) != 0: one stop token a row, the rule of the post;
- all_pads     always, in a row that holds anything: the stop token and all that fills the row after it.

The post rolls the row to find target_(t-1), so that position 0 sees the last token; here the row is shifted, and what
lies before position 0 counts as pad.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from lib.errors import BookError

Rule = Literal["no_pads", "first_pad", "all_pads"]
"""Which pads count as targets."""

PAD = 0
"""The token that fills a row, and once the stop signal."""


def trained(targets: Tensor, rule: Rule) -> Tensor:
    """True where a position is trained: targets [B, T] of token ids -> bool [B, T].

    Under first_pad a row of n >= 1 real tokens trains min(n + 1, T) positions; an empty row trains none under any rule.
    Raises BookError for an unknown rule. Source: the masked loss of the post. Used by chapter 02.
    """
    real = targets != PAD
    if rule == "no_pads":
        return real
    if rule == "first_pad":
        return real | F.pad(real[:, :-1], (1, 0))
    if rule == "all_pads":
        return real.any(1, keepdim=True).expand_as(real)
    raise BookError(f"rule is {rule!r}; it must be one of {', '.join(get_args(Rule))}")


def trained_by_roll(targets: Tensor) -> Tensor:
    """The post's own form of first_pad, [B, T] -> bool [B, T]: it wraps, so position 0 looks at the last token.

    It differs from `trained` only where a row begins with a pad and ends with a real token.
    """
    real = targets != PAD
    return real | real.roll(1, dims=1)


def masked_cross_entropy(logits: Tensor, targets: Tensor, rule: Rule) -> Tensor:
    """Mean negative log-likelihood over the trained positions, in nats: logits [B, T, V], targets [B, T] -> scalar.

    Raises BookError if shapes do not fit or no position is trained.
    """
    if logits.shape[:2] != targets.shape:
        raise BookError(f"logits are {list(logits.shape)} but targets {list(targets.shape)}; the first two must agree")
    mask = trained(targets, rule)
    if not bool(mask.any()):
        raise BookError("no position of this batch is trained: every row is empty")
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    weight = mask.flatten().to(loss.dtype)
    return torch.dot(loss, weight) / weight.sum()
