"""The output's Fisher metric, pulled back to the residual stream: which directions the predictions feel.

G = J^T F J with F = diag(p) - p p^T is the mean of g g^T over labels that the model draws itself, g being the loss's
gradient for such a label. So it is estimated by backward passes alone, one a draw, for all tokens at once. What is
returned is the mean over tokens of each token's own block [D, D]: what it does to its own prediction and to all later
ones, without what two tokens do together. Chapter 06.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lib.analysis.sensitivity import loss_gradient
from lib.errors import BookError
from lib.models.split_model import SplitModel


def pullback_fisher(
    parts: SplitModel, stream: Tensor, *, generator: torch.Generator, draws: int = 8, batch: int = 16
) -> Tensor:
    """Mean over tokens of J^T F J at a stream [n, T, D], as [D, D] in double precision, from `draws` labels a token.

    The last token predicts nothing and is left out. Raises BookError when there are fewer gradients than directions.
    """
    count = draws * stream.shape[0] * (stream.shape[1] - 1)
    if count < stream.shape[2]:
        raise BookError(f"{count} gradients for {stream.shape[2]} directions; ask for more draws")
    total = torch.zeros(stream.shape[2], stream.shape[2], dtype=torch.float64)
    for part in stream.split(batch):
        with torch.no_grad():
            shares = parts.tail(part)[:, :-1].softmax(dim=-1)
        for _ in range(draws):
            drawn = torch.multinomial(shares.flatten(0, 1).cpu(), 1, generator=generator).reshape(len(part), -1)
            labels = torch.nn.functional.pad(drawn, (1, 0)).to(part.device)
            g = loss_gradient(parts, part, labels, batch)[:, :-1].flatten(0, 1).double().cpu()
            total += g.T @ g
    return total / count


def felt_spectrum(covariance: Tensor, metric: Tensor) -> Tensor:
    """Eigenvalues of C^(1/2) G C^(1/2), largest first, [D]: how much of what is felt each direction of use carries.

    covariance: of activations, [D, D]; metric: G, [D, D]. The sum is the trace of G C. The values stay the same when
    the stream is written in other coordinates (and G with it), unlike those of C or of G.
    """
    values, vectors = torch.linalg.eigh(covariance.double())
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    return torch.linalg.eigvalsh(root @ metric.double() @ root).flip(0).clamp_min(0)


def alignment(a: Tensor, b: Tensor) -> float:
    """tr(A B) / (|A| |B|) of two symmetric matrices: 1 when they weigh directions alike, 0 when they share none."""
    return float((a.double() * b.double()).sum() / (a.double().norm() * b.double().norm()))


def covariance(x: Tensor) -> Tensor:
    """Mean-centred covariance of activations [..., D], [D, D], in double precision."""
    rows = x.flatten(0, -2).double()
    centred = rows - rows.mean(dim=0)
    return centred.T @ centred / len(rows)
