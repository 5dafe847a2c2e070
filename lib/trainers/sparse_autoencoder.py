"""Train a sparse autoencoder on a table of activations: mean squared error, Adam, directions of length one.

Left out of the textbook method, because a short run does not need it: the auxiliary loss that revives dead features.
`Trained.alive` says how many features ever fired, so that a run that needs it can be seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lib.errors import BookError
from lib.models.sparse_autoencoder import TopKSAE


@dataclass(frozen=True)
class SAETraining:
    """How a sparse autoencoder is trained. Raises BookError for values that make no training."""

    steps: int = 1000
    """Updates."""
    batch: int = 512
    """Activations in one update; each pass over the table visits all, in a new order."""
    rate: float = 1e-3
    """Adam's learning rate; it falls to zero in a straight line over the last fifth of the steps."""

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not self.rate > 0:
            raise BookError(f"steps={self.steps}, batch={self.batch}, rate={self.rate}; they must be above 0")


@dataclass(frozen=True)
class TrainedSAE:
    """The model, the mean squared error per number of every update [steps], and the share of features that fired."""

    model: TopKSAE
    losses: Tensor
    alive: float


def train_sae(model: TopKSAE, x: Tensor, config: SAETraining, *, generator: torch.Generator) -> TrainedSAE:
    """Train on activations x [M, D], float32; the decoder's bias starts at their mean.

    generator: draws the orders. The same generator state at one thread gives the same bits.
    Raises BookError for activations of another width.
    """
    if x.ndim != 2 or x.shape[1] != model.decoder.shape[1] or not len(x):
        raise BookError(f"activations {tuple(x.shape)} for a width of {model.decoder.shape[1]}; give [M, D] with rows")
    model.centre(x)
    optimiser = torch.optim.Adam(model.parameters(), lr=config.rate, fused=True)
    tail = max(1, config.steps // 5)
    fired = torch.zeros(len(model.decoder), dtype=torch.bool)
    losses, order = [], x.new_zeros(0, dtype=torch.int64)
    for step in range(config.steps):
        if len(order) < min(config.batch, len(x)):
            order = torch.randperm(len(x), generator=generator)
        chosen, order = order[: config.batch], order[config.batch :]
        optimiser.param_groups[0]["lr"] = config.rate * min(1.0, (config.steps - step) / tail)
        again, code = model(x[chosen])
        loss = (again - x[chosen]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.normalise()
        fired[code.features[code.values > 0]] = True
        losses.append(loss.detach())
    return TrainedSAE(model.eval(), torch.stack(losses), float(fired.float().mean()))
