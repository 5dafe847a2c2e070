"""An autoencoder of fingerprints: 2,048 bits through as many numbers as the learned map has (chapter 04)."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lib.errors import BookError
from lib.models.layers import Linear
from lib.trainers.odor_map import batches


def codes(
    bits: np.ndarray, width: int, *, generator: torch.Generator, epochs: int = 30, rate: float = 1e-3, batch: int = 128
) -> tuple[np.ndarray, float]:
    """Train on bits [N, D] and return their codes, float32 [N, width], with the mean cross-entropy per bit in nats.

    One linear layer into the code and, after a ReLU, one back; Adam on the binary cross-entropy of the bits. The code
    is taken before the ReLU, as the learned map's is. Raises BookError for a width or a number of epochs below 1.
    """
    if width < 1 or epochs < 1:
        raise BookError(f"width={width}, epochs={epochs}; both must be at least 1")
    rows = torch.from_numpy(np.asarray(bits, dtype=np.float32))
    into, back = Linear(rows.shape[1], width), Linear(width, rows.shape[1])
    for layer in (into, back):
        layer.initialise(generator)
    optimiser = torch.optim.Adam(nn.ModuleList([into, back]).parameters(), lr=rate, fused=True)
    for _ in range(epochs):
        for chosen in batches(torch.arange(len(rows)), batch, generator):
            optimiser.zero_grad()
            loss = F.binary_cross_entropy_with_logits(back(F.relu(into(rows[chosen]))), rows[chosen])
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        code = into(rows)
        left = F.binary_cross_entropy_with_logits(back(F.relu(code)), rows)
    return code.numpy(), float(left)
