"""What a trainer asks of the machine: one device, or several processes through accelerate.

Every process draws the same batches and takes its own rows of them. A loss is divided by the targets of the whole
batch, so that two processes give the gradient of one process with the same batch.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


class OneDevice:
    """One process on one device."""

    rank = 0
    world = 1

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model as it is called in training."""
        return model.to(self.device)

    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss, added to those already there."""
        loss.backward()

    def gradients_stay(self, model: nn.Module) -> AbstractContextManager:
        """Within it, backward leaves gradients where they are: more of this batch is to come."""
        return nullcontext()

    def total(self, values: Tensor) -> Tensor:
        """The sum over processes."""
        return values

    def gather(self, values: Tensor) -> Tensor:
        """The values of all processes, [world, ...]."""
        return values[None]

    def wait(self) -> None:
        """Until all processes are here."""


class ManyDevices:
    """The processes of `accelerate launch` or `torchrun`, through one accelerate.Accelerator (DDP)."""

    def __init__(self, accelerator: object) -> None:
        self.accelerator = accelerator
        self.device = accelerator.device
        self.rank = accelerator.process_index
        self.world = accelerator.num_processes

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model, made to average its gradients over processes."""
        return self.accelerator.prepare_model(model)

    def backward(self, loss: Tensor) -> None:
        """Gradients of a loss; DDP averages over processes, so a sum over them needs the factor `world`."""
        self.accelerator.backward(loss * self.world)

    def gradients_stay(self, model: nn.Module) -> AbstractContextManager:
        """Within it, processes do not exchange gradients: more of this batch is to come."""
        return self.accelerator.no_sync(model)

    def total(self, values: Tensor) -> Tensor:
        """The sum over processes."""
        return self.accelerator.reduce(values.to(self.device), reduction="sum")

    def gather(self, values: Tensor) -> Tensor:
        """The values of all processes, [world, ...]."""
        return self.accelerator.gather(values[None].to(self.device))

    def wait(self) -> None:
        """Until all processes are here."""
        self.accelerator.wait_for_everyone()
