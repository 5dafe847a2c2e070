"""What an error in the residual stream should cost the model, foreseen to first and second order, beside what it costs.

    bench = SensitiveModel(SplitModel(model, layer=2), sequences)
    found = bench.distortions(lambda x: sae(x))     # x [N, D] -> reconstruction [N, D], and a code or None
    found.proxies()["swd"], found.added

With delta the error of a token, g the gradient of its sequence's loss there, J the Jacobian of the logits and
F = diag(p) - p p^T: the sensitivity-weighted distortion E[(g . delta)^2]; the first-order change E[g . delta]; the
Gauss-Newton term delta^T J^T F J delta / 2, for the errors of all tokens together, by one forward-mode product; and
the divergence from the model's own predictions. All sums are kept a sequence at a time, so that intervals come from
resampling sequences. Chapter 06 shows each formula; a test holds each to finite differences.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from lib.analysis.patched_loss import PatchedModel, Rebuild
from lib.errors import BookError
from lib.models.split_model import SplitModel

PROXIES = ("r2", "nmse", "cosine", "swd", "slope", "first", "gauss_newton", "second", "kl")


@dataclass(frozen=True)
class Distortions:
    """Sums over the tokens of every sequence, [n] each; losses and foreseen costs in nats."""

    errors: np.ndarray
    """|delta|^2."""
    totals: np.ndarray
    """|a - mean|^2, about the mean of all activations that are scored."""
    squares: np.ndarray
    """|a|^2."""
    cosines: np.ndarray
    """cos(a, reconstruction)."""
    slopes: np.ndarray
    """g . delta."""
    absolute_slopes: np.ndarray
    """|g . delta|."""
    squared_slopes: np.ndarray
    """(g . delta)^2."""
    curvatures: np.ndarray
    """delta^T J^T F J delta / 2."""
    divergences: np.ndarray
    """KL(p, p with the reconstruction in place)."""
    losses: np.ndarray
    """Next-token loss with the reconstruction in place."""
    clean: np.ndarray
    """Next-token loss of the model itself."""
    tokens: np.ndarray
    """Tokens that were replaced."""
    predicted: np.ndarray
    """Tokens that were predicted."""

    def _mean(self, name: str, over: str, weights: np.ndarray | None) -> np.ndarray:
        w = np.ones(len(self.tokens)) if weights is None else weights
        return (w @ getattr(self, name)) / (w @ getattr(self, over))

    def proxies(self, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Every proxy as a distortion, larger is worse: {name: value}, or [draws] for weights [draws, n] of sequences.

        r2: 1 - R2. nmse: squared error over squared length. cosine: 1 - mean cosine. swd: E[(g . delta)^2]. slope:
        E|g . delta|. In nats a token: first, E[g . delta]; gauss_newton; second, their sum; kl.
        """
        first, bend = self._mean("slopes", "predicted", weights), self._mean("curvatures", "predicted", weights)
        found = {
            "r2": self._mean("errors", "totals", weights),
            "nmse": self._mean("errors", "squares", weights),
            "cosine": 1 - self._mean("cosines", "tokens", weights),
            "swd": self._mean("squared_slopes", "tokens", weights),
            "slope": self._mean("absolute_slopes", "tokens", weights),
            "first": first,
            "gauss_newton": bend,
            "second": first + bend,
            "kl": self._mean("divergences", "predicted", weights),
        }
        return {name: found[name] for name in PROXIES}

    def targets(self, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """What is to be foreseen, larger is worse: added, L_recon - L in nats a token; ce, 1 - CE_rec."""
        with_it, without = (self._mean(name, "predicted", weights) for name in ("losses", "clean"))
        return {"added": with_it - without, "ce": with_it / without - 1}

    @property
    def added(self) -> float:
        """L_recon - L in nats a token."""
        return float(self.targets()["added"])


class SensitiveModel(PatchedModel):
    """A bench that also knows the loss's gradient at every token of its stream, [n, T, D].

    The gradient is that of the summed loss of a token's own sequence, so it counts what the token does to its own
    prediction and to all later ones.
    """

    def __init__(self, parts: SplitModel, sequences: Tensor, *, where: Tensor | None = None, batch: int = 16) -> None:
        super().__init__(parts, sequences, where=where, batch=batch)
        self.gradient = loss_gradient(parts, self.stream, self.sequences, batch)

    def distortions(self, rebuild: Rebuild) -> Distortions:
        """Replace, foresee and measure. rebuild: activations [N, D] -> (reconstruction [N, D], code or None)."""
        x = self.activations
        with torch.no_grad():
            again = rebuild(x)[0]
        if again.shape != x.shape or not again.isfinite().all():
            raise BookError(
                f"a reconstruction {tuple(again.shape)} of activations {tuple(x.shape)}; give as many, finite"
            )
        delta = torch.zeros_like(self.stream)
        delta[self.where] = again - x
        slope = (self.gradient * delta).sum(dim=-1)
        whole = {
            "errors": delta.square().sum(dim=-1),
            "totals": self._spread((x - x.mean(dim=0)).square().sum(dim=-1)),
            "squares": self._spread(x.square().sum(dim=-1)),
            "cosines": self._spread(F.cosine_similarity(x, again, dim=-1)),
            "slopes": slope,
            "absolute_slopes": slope.abs(),
            "squared_slopes": slope.square(),
            "tokens": self.where,
            "predicted": torch.ones_like(self.sequences[:, 1:]),
        }
        found = {name: one.double().sum(dim=1).cpu().numpy() for name, one in whole.items()}
        return Distortions(**found, **self._predictions(delta))

    def _spread(self, values: Tensor) -> Tensor:
        """Values of the replaced tokens at their places, [n, T], and 0 elsewhere."""
        return values.new_zeros(self.where.shape).masked_scatter(self.where, values)

    @torch.no_grad()
    def _predictions(self, delta: Tensor) -> dict[str, np.ndarray]:
        found: dict[str, list[Tensor]] = {name: [] for name in ("curvatures", "divergences", "losses", "clean")}
        parts = (part.split(self.batch) for part in (self.stream, delta, self.sequences))
        for stream, change, rows in zip(*parts, strict=True):
            logits, moved = (one[:, :-1] for one in pushed_forward(self.parts, stream, change))
            own, patched = logits.log_softmax(dim=-1), self.parts.tail(stream + change)[:, :-1].log_softmax(dim=-1)
            found["curvatures"].append(fisher_norm(own, moved) / 2)
            found["divergences"].append((own.exp() * (own - patched)).sum(dim=-1))
            for name, guess in (("losses", patched), ("clean", own)):
                found[name].append(-guess.gather(-1, rows[:, 1:, None])[..., 0])
        return {name: torch.cat(each).double().sum(dim=1).cpu().numpy() for name, each in found.items()}


def loss_gradient(parts: SplitModel, stream: Tensor, labels: Tensor, batch: int = 16) -> Tensor:
    """Gradient of each sequence's summed next-token loss at its stream [n, T, D]; labels: [n, T] token ids.

    The loss of position t is for labels[:, t + 1], so the gradient at the last token is zero.
    """
    found = []
    for part, rows in zip(stream.split(batch), labels.split(batch), strict=True):
        here = part.detach().requires_grad_()
        logits = parts.tail(here)[:, :-1]
        loss = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="sum")
        found.append(torch.autograd.grad(loss, here)[0])
    return torch.cat(found)


@torch.no_grad()
def pushed_forward(parts: SplitModel, stream: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    """The logits of a stream [B, T, D] and their derivative along delta [B, T, D], both [B, T, V], in one pass.

    Forward mode. Attention runs by its plain formula here, because the fused one has no forward derivative.
    """
    with warnings.catch_warnings(), sdpa_kernel(SDPBackend.MATH), forward_ad.dual_level():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch compiles its own rules the first time, by old means
        return forward_ad.unpack_dual(parts.tail(forward_ad.make_dual(stream, delta)))


def fisher_norm(log_p: Tensor, moved: Tensor) -> Tensor:
    """u^T (diag(p) - p p^T) u, the variance of a change of logits u under p; log_p, u: [..., V] -> [...]."""
    p = log_p.exp()
    mean = (p * moved).sum(dim=-1, keepdim=True)
    return (p * (moved - mean).square()).sum(dim=-1)
