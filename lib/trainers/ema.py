"""An exponential moving average of a model's weights, with and without debiasing.

Without debiasing the average starts at the initial weights, and after s updates decay^s of it is still those: 82 % at
step 200 for decay .999. With debiasing it starts at zero and is divided by 1 - decay^s, as Adam does with its moments,
so that only weights that training has seen take part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lib.errors import BookError


class EMA:
    """average <- decay * average + (1 - decay) * weights, after every update.

    Source: Kingma and Ba, Adam (2015), section 3, for the debiasing. Used by chapters 07 to 10.
    """

    def __init__(self, model: nn.Module, decay: float, *, debias: bool = False) -> None:
        """Start at the model's weights, or at zero when debias is set. Raises BookError for a decay outside [0, 1)."""
        if not 0 <= decay < 1:
            raise BookError(f"decay={decay}; an average needs a decay in [0, 1)")
        self.decay = decay
        self.debias = debias
        self.updates = 0
        start = torch.zeros_like if debias else torch.clone
        self.average = {name: start(weight.detach()) for name, weight in model.named_parameters()}

    def initial_share(self) -> float:
        """How much of the average is still where it started: decay^updates, 0 when debiased."""
        return 0.0 if self.debias and self.updates else self.decay**self.updates

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the model's weights after an update."""
        self.updates += 1
        weights = [weight.detach() for _, weight in model.named_parameters()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - self.decay)

    def weights(self) -> dict[str, Tensor]:
        """The averaged weights by parameter name. Raises BookError for a debiased average that has seen no update."""
        if not self.debias:
            return self.average
        if self.updates == 0:
            raise BookError("a debiased average of no update has no weights; call update first, or set debias=False")
        scale = 1 / (1 - self.decay**self.updates)
        return {name: weight * scale for name, weight in self.average.items()}

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Within the context the model has the averaged weights; afterwards its own, untouched."""
        own = {name: weight.data for name, weight in model.named_parameters()}
        averaged = self.weights()
        try:
            for name, weight in model.named_parameters():
                weight.data = averaged[name]
            yield
        finally:
            for name, weight in model.named_parameters():
                weight.data = own[name]

    def state(self) -> dict[str, object]:
        """What a checkpoint keeps."""
        return {"decay": self.decay, "debias": self.debias, "updates": self.updates, "average": dict(self.average)}

    def restore(self, state: dict[str, object]) -> None:
        """Continue from `state`. Raises BookError when it is the state of another kind of average."""
        for name in ("decay", "debias"):
            if state[name] != getattr(self, name):
                raise BookError(f"the saved average has {name}={state[name]}, not {getattr(self, name)}; use the same")
        self.updates = state["updates"]
        for name, weight in self.average.items():
            weight.copy_(state["average"][name])
