"""How many numbers of an activation its predictions need, by a critic with a bottleneck: an estimate and its ceiling.

A critic looks at activations x and outcomes y through k numbers each and tells true pairs from mixed ones; what it
learns bounds their mutual information from below (InfoNCE, van den Oord et al. 2018), and never passes log N for N
candidates. The separable critic multiplies the two sets of k numbers; the hybrid one reads both with a small network.
The dimension is the smallest k that reaches a share of the best (after Gulati et al. 2026). Predictions are a function
of activations, so their information has no bound and the estimate meets its ceiling: chapter 06 asks what is left.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib.errors import BookError


class Critic(nn.Module):
    """Scores [N, N] of every x [N, A] with every y [N, B], each seen through k numbers.

    Encoders have one hidden layer; weights come from the generator. kind: separable or hybrid.
    """

    def __init__(self, a: int, b: int, k: int, kind: str, generator: torch.Generator, hidden: int = 64) -> None:
        super().__init__()
        if kind not in ("separable", "hybrid") or k < 1:
            raise BookError(f"a {kind!r} critic with k={k}; give separable or hybrid, and k from 1 up")
        self.x = nn.Sequential(nn.Linear(a, hidden), nn.ReLU(), nn.Linear(hidden, k))
        self.y = nn.Sequential(nn.Linear(b, hidden), nn.ReLU(), nn.Linear(hidden, k))
        self.joint = nn.Sequential(nn.Linear(2 * k, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.kind = kind
        with torch.no_grad():
            for weight in self.parameters():
                weight.normal_(std=weight.shape[-1] ** -0.5 if weight.ndim == 2 else 0.0, generator=generator)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Scores [N, N], true pairs on the diagonal."""
        u, v = self.x(x), self.y(y)
        if self.kind == "separable":
            return u @ v.T
        pairs = torch.cat([u[:, None].expand(-1, len(v), -1), v[None].expand(len(u), -1, -1)], dim=-1)
        return self.joint(pairs)[..., 0]


def information(
    x: Tensor,
    y: Tensor,
    k: int,
    kind: Literal["separable", "hybrid"],
    *,
    generator: torch.Generator,
    steps: int = 300,
    batch: int = 128,
    rate: float = 3e-3,
) -> float:
    """Held-out InfoNCE bound in nats with `batch` candidates, at most log(batch). x: [M, A]; y: [M, B].

    The last quarter of the rows is held out. Both sides are standardised. Raises BookError when it is below a batch.
    """
    kept = len(x) * 3 // 4
    if len(x) != len(y) or len(x) - kept < batch:
        raise BookError(f"{len(x)} and {len(y)} rows for batches of {batch}; give as many, four batches or more")
    x, y = ((one - one[:kept].mean(dim=0)) / (one[:kept].std(dim=0) + 1e-6) for one in (x.float(), y.float()))
    critic = Critic(x.shape[1], y.shape[1], k, kind, generator)
    optimiser = torch.optim.Adam(critic.parameters(), lr=rate)
    truth = torch.arange(batch)
    for _ in range(steps):
        rows = torch.randint(kept, (batch,), generator=generator)
        loss = F.cross_entropy(critic(x[rows], y[rows]), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        parts = [rows for rows in torch.arange(kept, len(x)).split(batch) if len(rows) == batch]
        nats = [math.log(batch) - float(F.cross_entropy(critic(x[rows], y[rows]), truth)) for rows in parts]
    return sum(nats) / len(nats)


def dimension(curve: dict[int, float], share: float = 0.9) -> int:
    """The smallest k whose information reaches a share of the largest. curve: {k: nats}."""
    best = max(curve.values())
    if not best > 0:
        raise BookError("no k tells anything; train the critics for longer")
    return min(k for k, nats in curve.items() if nats >= share * best)
