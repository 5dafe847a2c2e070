"""Label-smoothed loss and true negative log-likelihood, kept apart, per codebook and weighted by tokens.

A validation loss with label smoothing e is (1 - e) NLL + e mean_c(-log p_c). Its floor is not 0 and its exponential is
no perplexity; the two are never mixed here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

TOP = (1, 5)
"""Accuracies that are counted: the target is the first, or among the first five."""


class CrossEntropies(torch.autograd.Function):
    """NLL of the target and mean over classes of -log p, in one pass that keeps nothing but the logits."""

    @staticmethod
    def forward(ctx, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [..., V], targets [...] -> nll [...], uniform [...], float32."""
        logits = logits if logits.dtype == torch.float64 else logits.float()
        partition = logits.logsumexp(-1)
        ctx.save_for_backward(logits, targets, partition)
        return partition - logits.gather(-1, targets[..., None])[..., 0], partition - logits.mean(-1)

    @staticmethod
    def backward(ctx, d_nll: Tensor, d_uniform: Tensor) -> tuple[Tensor, None]:
        """d/dlogits = (d_nll + d_uniform) softmax - d_nll onehot - d_uniform / V."""
        logits, targets, partition = ctx.saved_tensors
        gradient = (logits - partition[..., None]).exp_()
        gradient *= (d_nll + d_uniform)[..., None]
        gradient -= d_uniform[..., None] / logits.shape[-1]
        return gradient.scatter_add_(-1, targets[..., None], -d_nll[..., None]), None


@dataclass
class LossSums:
    """Sums over the targets of a batch that are not pad, per codebook [K]: nll, uniform cross-entropy, targets."""

    nll: Tensor
    uniform: Tensor
    count: Tensor

    def smoothed(self, smoothing: float) -> Tensor:
        """(1 - e) nll + e uniform, per codebook [K], still sums."""
        return (1 - smoothing) * self.nll + smoothing * self.uniform


def loss_sums(logits: Tensor, targets: Tensor, pad: int | None) -> LossSums:
    """Logits [B, K, T, V] and targets [B, K, T] -> sums per codebook; targets equal to pad are left out.

    Source: Szegedy et al., Rethinking the Inception Architecture (2016), section 7. Used by chapters 07 to 10.
    """
    nll, uniform = CrossEntropies.apply(logits, targets)
    real = torch.ones_like(targets, dtype=nll.dtype) if pad is None else (targets != pad).to(nll.dtype)
    return LossSums((nll * real).sum((0, 2)), (uniform * real).sum((0, 2)), real.sum((0, 2)))


def hits(logits: Tensor, targets: Tensor, pad: int | None) -> Tensor:
    """How many targets are first, and among the first five, per codebook: [2, K].

    Equal logits, common in bf16, share their places: a target counts by the chance that a draw among them favours it.
    """
    chosen = logits.gather(-1, targets[..., None])
    above, equal = (logits > chosen).sum(-1), (logits == chosen).sum(-1)
    real = torch.ones_like(targets, dtype=torch.bool) if pad is None else targets != pad
    return torch.stack([(((top - above) / equal).clamp(0, 1).double() * real).sum((0, 2)) for top in TOP])


def smoothing_floor(smoothing: float, vocabulary: int) -> float:
    """The least label-smoothed loss any model can reach: the entropy of the smoothed target."""
    rest = smoothing / vocabulary
    hit = 1 - smoothing + rest
    return -hit * math.log(hit) - (vocabulary - 1) * (rest * math.log(rest) if rest else 0.0)


@dataclass(frozen=True)
class Evaluation:
    """What a model scores on a dataset; every figure is weighted by tokens unless it says otherwise."""

    nll: float
    """Mean negative log-likelihood of a target, in nats."""
    smoothed: float
    """Mean label-smoothed loss."""
    smoothed_batch_mean: float
    """Mean over batches of their label-smoothed losses, batches weighing the same, as the speech post computes it."""
    nll_by_codebook: tuple[float, ...]
    """nll per codebook."""
    tokens_by_codebook: tuple[int, ...]
    """Targets per codebook."""
    top1_by_codebook: tuple[float, ...]
    """Share of targets that have the highest logit."""
    top5_by_codebook: tuple[float, ...]
    """Share of targets among the five highest logits."""

    @property
    def perplexity(self) -> float:
        """exp(nll), of the true likelihood."""
        return math.exp(self.nll)


class Tally:
    """Adds up batches in float64; `row` is one vector, so that several processes add theirs with one sum."""

    def __init__(self, codebooks: int, smoothing: float) -> None:
        self.codebooks, self.smoothing = codebooks, smoothing
        self.row = torch.zeros(5 * codebooks + 2, dtype=torch.float64)

    def add(self, sums: LossSums, correct: Tensor) -> None:
        """Take in one batch: its loss sums and its hits [2, K]."""
        mean = sums.smoothed(self.smoothing).sum() / sums.count.sum()
        parts = (sums.nll, sums.uniform, sums.count, *correct, torch.stack((mean, torch.ones_like(mean))))
        self.row += torch.cat([part.detach().double().cpu() for part in parts])

    def result(self) -> Evaluation:
        """The evaluation of everything that was added."""
        nll, uniform, count, top1, top5 = self.row[: 5 * self.codebooks].view(5, self.codebooks)
        smoothed = LossSums(nll, uniform, count).smoothed(self.smoothing)
        return Evaluation(
            nll=float(nll.sum() / count.sum()),
            smoothed=float(smoothed.sum() / count.sum()),
            smoothed_batch_mean=float(self.row[-2] / self.row[-1]),
            nll_by_codebook=tuple((nll / count).tolist()),
            tokens_by_codebook=tuple(int(n) for n in count),
            top1_by_codebook=tuple((top1 / count).tolist()),
            top5_by_codebook=tuple((top5 / count).tolist()),
        )
