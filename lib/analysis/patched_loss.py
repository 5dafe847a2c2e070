"""What a model loses when its residual stream is replaced: one bench for every way of rebuilding activations.

    bench = PatchedModel(SplitModel(model, layer=2), sequences)
    found = bench.score(lambda x: sae(x))       # x [N, D] -> reconstruction [N, D], and a code or None

The stream is captured once; each reconstruction then costs one pass through the tail. All sums are kept a sequence at
a time, so that intervals come from resampling sequences. Chapters 05 and 06.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lib.analysis import proxy_gap, rate_distortion
from lib.errors import BookError
from lib.models.sparse_autoencoder import Code
from lib.models.split_model import SplitModel

Rebuild = Callable[[Tensor], tuple[Tensor, Code | None]]


@dataclass(frozen=True)
class Patched:
    """One reconstruction scored: numbers over all tokens, and sums of each sequence [n] for intervals.

    Losses are in nats a predicted token. R2, cosine, relative and squared error are over the tokens that were replaced.
    """

    loss: float
    clean: float
    ablated: float
    r2: float
    deflated_r2: float
    mse: float
    cosine: float
    relative_error: float
    alive: float | None
    """Share of features that fired on these tokens; None without a code."""
    bits: float | None
    """Bits a token by the frequency code of `rate_distortion`, 8 bits a value; None without a code."""
    losses: np.ndarray = field(repr=False)
    clean_losses: np.ndarray = field(repr=False)
    errors: np.ndarray = field(repr=False)
    totals: np.ndarray = field(repr=False)

    @property
    def ce_recovered(self) -> float:
        """2 - L_recon / L_orig."""
        return proxy_gap.ce_recovered(self.loss, self.clean)

    @property
    def recovered(self) -> float:
        """(L_zero - L_recon) / (L_zero - L_orig)."""
        return proxy_gap.ablation_score(self.loss, self.clean, self.ablated)

    @property
    def excess(self) -> float:
        """L_recon - L_orig in nats a token: the loss itself, without a denominator."""
        return self.loss - self.clean

    def intervals(self, generator: np.random.Generator, draws: int = 5000) -> dict[str, tuple[float, float]]:
        """95 % intervals over sequences of r2, ce_recovered and excess."""
        low, high = proxy_gap.ratio_interval(self.errors, self.totals, generator, draws)
        worst, best = proxy_gap.ratio_interval(self.losses, self.clean_losses, generator, draws)
        ends = proxy_gap.ratio_interval(self.losses - self.clean_losses, np.ones(len(self.losses)), generator, draws)
        return {"r2": (1 - high, 1 - low), "ce_recovered": (2 - best, 2 - worst), "excess": ends}


class PatchedModel:
    """A model cut at one place, with the sequences that every reconstruction is scored on.

    parts: where it is cut. sequences: [n, T] int64. where: [n, T] bool, the tokens that are replaced, None for all;
    the others keep their own activation. batch: sequences in one pass.
    """

    def __init__(self, parts: SplitModel, sequences: Tensor, *, where: Tensor | None = None, batch: int = 16) -> None:
        if sequences.ndim != 2 or len(sequences) < 2 or sequences.shape[1] < 2:
            raise BookError(f"sequences {tuple(sequences.shape)}; give [n, T] with at least 2 of 2 tokens")
        self.parts, self.batch = parts, batch
        self.sequences = sequences.to(parts.device)
        with torch.no_grad():
            self.stream = torch.cat([parts.head(rows) for rows in self.sequences.split(batch)])
        self.clean_losses = self.losses(self.stream)
        self._replace(torch.ones_like(self.sequences, dtype=torch.bool) if where is None else where)

    def _replace(self, where: Tensor) -> None:
        if where.shape != self.sequences.shape or not where.any():
            raise BookError(f"a mask {tuple(where.shape)} for {tuple(self.sequences.shape)}; mark at least one token")
        self.where = where
        self.ablated_losses = self.losses(self.stream.masked_fill(where[..., None], 0.0))

    def restricted(self, where: Tensor) -> PatchedModel:
        """The same bench with only some tokens replaced; where: [n, T] bool. The stream is not captured again."""
        twin = copy.copy(self)
        twin._replace(where)
        return twin

    @property
    def activations(self) -> Tensor:
        """The activations [N, D] that are replaced."""
        return self.stream[self.where]

    @torch.no_grad()
    def losses(self, stream: Tensor) -> np.ndarray:
        """Mean next-token loss of every sequence [n], in nats, when this stream [n, T, D] flows on."""
        found = []
        for rows, part in zip(self.sequences.split(self.batch), stream.split(self.batch), strict=True):
            logits = self.parts.tail(part)[:, :-1]
            nats = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="none")
            found.append(nats.reshape(len(rows), -1).mean(dim=1).double())
        return torch.cat(found).cpu().numpy()

    @torch.no_grad()
    def score(self, rebuild: Rebuild, *, features: int | None = None) -> Patched:
        """Replace, measure, return. rebuild: activations [N, D] -> (reconstruction [N, D], code or None).

        features: size of the code, needed when there is one.
        """
        x = self.activations
        again, code = rebuild(x)
        if again.shape != x.shape or not again.isfinite().all():
            raise BookError(
                f"a reconstruction {tuple(again.shape)} of activations {tuple(x.shape)}; give as many, finite"
            )
        patched = self.stream.clone()
        patched[self.where] = again
        losses = self.losses(patched)
        owners = self.where.nonzero()[:, 0]
        errors, totals = proxy_gap.squared_errors(x, again), proxy_gap.squared_errors(x, x.mean(dim=0))
        alive = bits = None
        if code is not None and features:
            alive = proxy_gap.alive_share(code.features, code.values, features)
            counts = rate_distortion.firing_counts(code.features, code.values, features)
            bits = rate_distortion.frequency_bits(counts, len(x))
        return Patched(
            loss=float(losses.mean()),
            clean=float(self.clean_losses.mean()),
            ablated=float(self.ablated_losses.mean()),
            r2=proxy_gap.r_squared(x, again),
            deflated_r2=proxy_gap.deflated_r_squared(x, again),
            mse=proxy_gap.mean_squared_error(x, again),
            cosine=proxy_gap.mean_cosine(x, again),
            relative_error=proxy_gap.relative_error(x, again),
            alive=alive,
            bits=bits,
            losses=losses,
            clean_losses=self.clean_losses,
            errors=_sums(errors, owners, len(self.sequences)),
            totals=_sums(totals, owners, len(self.sequences)),
        )


def principal_rebuild(x: Tensor, components: int) -> Rebuild:
    """The baseline that any code must beat: the mean of activations x [..., D] and their first principal components."""
    rows = x.flatten(0, -2).float()
    mean = rows.mean(dim=0)
    centred = (rows - mean).double()
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    basis = vectors[:, -components:].float()
    return lambda a: ((a - mean) @ basis @ basis.T + mean, None)


def _sums(values: Tensor, owners: Tensor, count: int) -> np.ndarray:
    return torch.zeros(count, dtype=torch.float64).index_add_(0, owners.cpu(), values.double().cpu()).numpy()
