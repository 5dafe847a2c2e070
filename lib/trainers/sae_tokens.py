"""Train a TopK autoencoder on a budget of activations, each seen once, at any scale of the activations.

Activations are divided by one number, so that their mean square is the width, and the number is folded back into the
biases at the end (a TopK autoencoder is homogeneous, so nothing else changes). The encoder starts as the decoder's copy
times the number that rebuilds the first batches best, since k directions that overlap add up to too much. Features
that have not fired for a while can be revived by letting the most active of them explain what is left over (the
auxiliary loss of Gao et al. 2024, appendix A.2). Chapters 05 and 06; for a table that is passed over many times see
`sparse_autoencoder.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lib.errors import BookError
from lib.kernels import topk_decode
from lib.models.sparse_autoencoder import TopKSAE


@dataclass(frozen=True)
class TokenBudget:
    """How an autoencoder is trained on M activations. Raises BookError for values that make no training."""

    batch: int = 128
    """Activations in an update; the number of updates is M over this."""
    rate: float = 3e-3
    """Adam's learning rate; it falls to zero in a straight line over the last fifth."""
    revive: float = 0.0
    """Weight of the auxiliary loss; 0 leaves dead features dead, 1/32 is the usual value."""
    dead_after: int = 20_000
    """Activations without firing after which a feature counts as dead."""
    revived: int = 64
    """Dead features that explain one residual together, at most."""

    def __post_init__(self) -> None:
        if min(self.batch, self.dead_after, self.revived) < 1 or not self.rate > 0 or self.revive < 0:
            raise BookError(f"{self}: sizes and rate must be above 0, revive 0 or more")


@dataclass(frozen=True)
class BudgetedSAE:
    """The model, the normalised mean squared error of every update [steps], and how many activations it saw."""

    model: TopKSAE
    losses: Tensor
    tokens: int


def train_on_budget(model: TopKSAE, x: Tensor, config: TokenBudget, *, generator: torch.Generator) -> BudgetedSAE:
    """Train in place on activations x [M, D] (any float type), each once, in an order drawn by the generator.

    The same generator state at one thread gives the same bits. Raises BookError for activations of another width,
    fewer than a batch, or all equal.
    """
    if x.ndim != 2 or x.shape[1] != model.decoder.shape[1] or len(x) < config.batch:
        raise BookError(
            f"activations {tuple(x.shape)} for a width of {model.decoder.shape[1]} and batches of {config.batch}; "
            "give [M, D] with at least a batch of rows"
        )
    device = model.decoder.device
    mean, spread = _moments(x)
    if not spread > 0:
        raise BookError("all activations are equal; there is nothing to code")
    scale = float((x.shape[1] / spread).sqrt())
    with torch.no_grad():
        model.decoder_bias.copy_(mean * scale)
        first = x[: 8 * config.batch].to(device).float() * scale
        again = model(first)[0] - model.decoder_bias
        model.encoder *= ((first - model.decoder_bias) * again).sum() / again.square().sum().clamp_min(1e-12)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.rate, fused=True)
    order = torch.randperm(len(x), generator=generator)
    steps = len(x) // config.batch
    silent = torch.zeros(len(model.decoder), dtype=torch.int64, device=device)  # activations since each feature fired
    losses = []
    for step in range(steps):
        chosen = x[order[step * config.batch : (step + 1) * config.batch]].to(device).float() * scale
        optimiser.param_groups[0]["lr"] = config.rate * min(1.0, (steps - step) / max(1, steps // 5))
        again, code = model(chosen)
        loss = (again - chosen).square().mean()
        losses.append(loss.detach())
        if config.revive:
            loss = loss + config.revive * revival_loss(model, chosen, again, silent > config.dead_after, config.revived)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.normalise()
        silent += len(chosen)
        silent[code.features[code.values > 0]] = 0
    with torch.no_grad():
        model.encoder_bias /= scale
        model.decoder_bias /= scale
    return BudgetedSAE(model.eval(), torch.stack(losses), steps * config.batch)


def revival_loss(model: TopKSAE, x: Tensor, again: Tensor, dead: Tensor, count: int) -> Tensor:
    """What the most active dead features fail to explain of the error x - again, over the error's own size.

    x, again: [N, D]; dead: [F] bool. Zero when no feature is dead. Gao et al. 2024, appendix A.2: the error is a fixed
    target, and the loss is bounded so that it cannot outgrow the one it helps.
    """
    rows = dead.nonzero().squeeze(1)
    if not len(rows):
        return x.new_zeros(())
    error = (x - again).detach()
    active = (x - model.decoder_bias) @ model.encoder[rows].T + model.encoder_bias[rows]
    values, picked = active.relu().topk(min(count, len(rows)), dim=-1)
    left = topk_decode(values, rows[picked], model.decoder) - error
    return left.square().sum() / error.square().sum().clamp_min(1e-12)


def _moments(x: Tensor, rows: int = 65_536) -> tuple[Tensor, Tensor]:
    """The mean [D] and the mean squared distance from it, in parts, so that a table on disk need not fit in memory."""
    mean = sum(part.double().sum(dim=0) for part in x.split(rows)) / len(x)
    spread = sum((part.double() - mean).square().sum() for part in x.split(rows)) / len(x)
    return mean.float(), spread
