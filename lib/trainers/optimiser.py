"""AdamW as the speech post ran it: warmup, cosine, and what weight decay falls on."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import nn

from lib.errors import BookError


def warmup_cosine(step: int, *, peak: float, floor: float, warmup: int, total: int) -> float:
    """Learning rate after `step` steps: peak * step / warmup, then a half cosine from peak to floor at `total`.

    The post logs at step s the rate that the update used, which is this function at s - 1; the first update thus has
    rate 0. All its 60 logged rates agree. Beyond total the rate stays at floor.
    """
    if step < warmup:
        return peak * step / warmup
    share = min(1.0, (step - warmup) / max(1, total - warmup))
    return floor + 0.5 * (peak - floor) * (1 + math.cos(math.pi * share))


def decays(name: str, weight: nn.Parameter) -> bool:
    """Whether decay makes sense for a parameter: matrices and filters yes; gains, biases, gates and embeddings no."""
    return weight.dim() >= 2 and "embedding" not in name and "position" not in name


def adamw(
    model: nn.Module, *, betas: tuple[float, float], weight_decay: float, decay: Literal["matrices", "all"]
) -> torch.optim.AdamW:
    """Fused AdamW with weight decay on matrices alone, or on all parameters as in the post. The rate is set later.

    Raises BookError for an unknown `decay`.
    """
    if decay not in ("matrices", "all"):
        raise BookError(f"decay={decay!r}; use 'matrices', or 'all' for norms, gates and embeddings as well")
    named = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    chosen = [weight for name, weight in named if decay == "all" or decays(name, weight)]
    rest = [weight for name, weight in named if not (decay == "all" or decays(name, weight))]
    groups = [{"params": chosen, "weight_decay": weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, betas=betas, fused=True)


def optimiser_state(optimiser: torch.optim.Optimizer) -> dict[str, object]:
    """The moments and step counts by parameter number, for a checkpoint; rates and groups come from the config."""
    return {str(number): dict(moments) for number, moments in optimiser.state_dict()["state"].items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, object]) -> None:
    """Continue from `optimiser_state`."""
    now = optimiser.state_dict()
    optimiser.load_state_dict({**now, "state": {int(number): moments for number, moments in state.items()}})
