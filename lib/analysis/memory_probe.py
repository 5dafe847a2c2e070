"""What a study of cached memory records of a model on one batch of recall: answers, gates, and the residual stream."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.analysis.gate_measures import cached_mass, gate_entropy, mass_at, relative_entropy


def recall_probe(batch: object, seed: int = 0) -> Callable[[nn.Module, str], dict]:
    """A probe for `lib.trainers.recall`: called with a model and "own", "oracle" or "random" gates.

    batch: a RecallBatch that training never sees. seed: of the lots that "random" draws.
    The probe returns `nll` (nats) and `accuracy` of the answers, and one number per layer with a cache for `mass` (mean
    gate, at queries, on the segment that holds the answer), `cached` (on all earlier segments), `entropy` (nats, all
    steps) and `relative` (as a share of what uniform gates would have); `bias` where it is learned. Residual caching
    has no gates to measure. Used by chapter 08.
    """

    def probe(model: nn.Module, gates: str = "own") -> dict:
        segment = model.config.segment
        given = None
        if gates != "own":
            generator = torch.Generator().manual_seed(seed)
            given = batch.oracle(segment) if gates == "oracle" else batch.random(segment, generator)
        asked, wanted = batch.asked, batch.targets[batch.asked]
        with torch.no_grad():
            logits = model.logits(model.hidden(batch.tokens, gates=given)[asked])[1]
        weighs = model.config.aggregate != "residual"  # whose gates are all 1: no entropy, no mass to speak of
        traced = model.trace(batch.tokens, gates=given) if weighs else ()
        used = [trace.gates for trace in traced if trace.gates is not None]
        biases = [block.gate.bias for block in model.blocks if block.gate is not None]
        return {
            "nll": F.cross_entropy(logits, wanted).item(),
            "accuracy": (logits.argmax(-1) == wanted).double().mean().item(),
            "mass": [mass_at(one, batch.answered_at // segment, asked) for one in used],
            "cached": [cached_mass(one, segment, asked) for one in used],
            "entropy": [gate_entropy(one) for one in used],
            "relative": [relative_entropy(one, segment) for one in used],
            "bias": [bias.item() for bias in biases if bias is not None],
        }

    return probe


def layer_entropies(model: nn.Module, tokens: Tensor) -> list[float]:
    """Relative entropy of the gates of each layer with a cache, for tokens [B, K, T]."""
    traces = model.trace(tokens)
    return [relative_entropy(trace.gates, model.config.segment) for trace in traces if trace.gates is not None]


def mean_cached(model: nn.Module, tokens: Tensor) -> list[float]:
    """Mean gate on all earlier segments together, for each layer with a cache and tokens [B, K, T] after the first."""
    segment, traces = model.config.segment, model.trace(tokens)
    later = (torch.arange(tokens.shape[-1]) >= segment).expand(len(tokens), -1)
    return [cached_mass(trace.gates, segment, later) for trace in traces if trace.gates is not None]


def least_normaliser(block: nn.Module, stream: Tensor, segment: int) -> float:
    """A bound from below on every Z by which a block's reads are divided, for its input [B, T, d].

    T is a whole number of segments. It is the smallest Z where segments begin empty, over the memory being written and
    over the copy of any segment, earlier or not; a memory that is carried on can only have a larger one.
    """
    with torch.no_grad():
        q, k, _ = block.mixer.heads_of(block.norm(stream))
        sums = k.unflatten(1, (-1, segment)).cumsum(2)
        copies = torch.einsum("bthk,bnhk->bthn", q, sums[:, :, -1])
        return min((q * sums.flatten(1, 2)).sum(-1).min().item(), copies.min().item())
