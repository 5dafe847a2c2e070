"""What a training run must remember to continue as if nothing had happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lib.errors import BookError
from lib.trainers.batching import Batches
from lib.trainers.checkpoint import CheckpointStore
from lib.trainers.devices import ManyDevices, OneDevice
from lib.trainers.optimiser import optimiser_state, restore_optimiser

if TYPE_CHECKING:
    from lib.trainers.language_model import Progress


@dataclass
class RunState:
    """Everything of a run that its next update depends on, and its history.

    settings: what must be the same when the run goes on; a checkpoint of other settings is refused.
    """

    run: Progress
    optimiser: torch.optim.Optimizer
    batches: Batches
    devices: OneDevice | ManyDevices
    settings: dict[str, object]

    def save(self, checkpoints: CheckpointStore) -> None:
        """Write a checkpoint; with several processes the first writes and the others wait."""
        random = self.devices.gather(random_state(self.devices.device))
        if self.devices.rank == 0:
            tree = {
                "settings": self.settings,
                "model": self.run.model.state_dict(),
                "optimiser": optimiser_state(self.optimiser),
                "averages": {name: average.state() for name, average in self.run.averages.items()},
                "batches": self.batches.state(),
                "random": random,
                "history": self.run.history,
            }
            checkpoints.save(self.run.step, tree)
        self.devices.wait()

    def load(self, checkpoints: CheckpointStore) -> None:
        """Continue from the newest whole checkpoint; without one nothing changes.

        Raises BookError for a checkpoint of other settings or other averages.
        """
        found = checkpoints.load()
        if found is None:
            return
        step, tree = found
        self.refuse_other(tree, checkpoints)
        self.run.step = step
        self.run.history[:] = tree["history"]
        self.run.model.load_state_dict(tree["model"])
        restore_optimiser(self.optimiser, tree["optimiser"])
        for name, average in self.run.averages.items():
            average.restore(tree["averages"][name])
        self.batches.restore(tree["batches"])
        set_random_state(tree["random"][self.devices.rank], self.devices.device)

    def refuse_other(self, tree: dict, checkpoints: CheckpointStore) -> None:
        """Raise BookError unless the checkpoint belongs to a run like this one."""
        for name, now in self.settings.items():
            then = tree["settings"].get(name)
            if then != now:
                held = f"{checkpoints.folder} holds a run with {name}={then}, not {now}"
                raise BookError(f"{held}; set it so, or use another folder")
        then, now = sorted(tree["averages"]), sorted(self.run.averages)
        if then != now:
            raise BookError(f"{checkpoints.folder} holds a run with averages {then}, not {now}; pass the same averages")


@contextmanager
def own_randomness(devices: OneDevice | ManyDevices, seed: int) -> Iterator[None]:
    """Within it, torch's generators start from the seed, another one per process; afterwards they are as before.

    Dropout offers no other generator than torch's own.
    """
    with torch.random.fork_rng(devices=[devices.device] if devices.device.type == "cuda" else []):
        torch.manual_seed(seed + devices.rank)
        yield


def random_state(device: torch.device) -> Tensor:
    """The state of torch's generator of a device, as bytes."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def set_random_state(state: Tensor, device: torch.device) -> None:
    """Continue torch's generator of a device from `random_state`."""
    state = state.cpu().clone()  # torch crashes on a state that is a view into a larger tensor
    torch.cuda.set_rng_state(state, device) if device.type == "cuda" else torch.set_rng_state(state)
