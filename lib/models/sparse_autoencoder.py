"""A TopK sparse autoencoder (Gao et al. 2024): an activation as the sum of k of F directions, and what is left over."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lib.errors import BookError
from lib.kernels import topk_decode, topk_encode


@dataclass(frozen=True)
class Code:
    """What an activation is made of: values [N, k], largest first, and the features [N, k] that carry them."""

    values: Tensor
    features: Tensor


class TopKSAE(nn.Module):
    """x is read as x - b; the k largest features of relu(W (x - b) + c) are kept; b plus their directions is x again.

    width: size of an activation, D. features: F. k: how many are kept. generator: draws the directions; None stands for
    a new one with seed 0. Directions start as random unit vectors and the encoder as their copy; both biases at zero.
    2 F D + F + D parameters. On the `meta` device nothing is drawn. Raises BookError for sizes that make no code.
    """

    def __init__(self, width: int, features: int, k: int, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if width < 1 or features < 1 or not 1 <= k <= features:
            raise BookError(f"width={width}, features={features}, k={k}; give sizes from 1 up and k up to features")
        self.k = k
        self.encoder = nn.Parameter(torch.empty(features, width))
        self.encoder_bias = nn.Parameter(torch.zeros(features))
        self.decoder = nn.Parameter(torch.empty(features, width))
        self.decoder_bias = nn.Parameter(torch.zeros(width))
        if not self.decoder.is_meta:
            with torch.no_grad():
                self.decoder.normal_(generator=generator or torch.Generator().manual_seed(0))
                self.normalise()
                self.encoder.copy_(self.decoder)

    def encode(self, x: Tensor) -> Code:
        """The code of activations [N, D]."""
        return Code(*topk_encode(x, self.encoder, self.encoder_bias, self.k, centre=self.decoder_bias))

    def decode(self, code: Code) -> Tensor:
        """The activations [N, D] that a code stands for."""
        return topk_decode(code.values, code.features, self.decoder) + self.decoder_bias

    def forward(self, x: Tensor) -> tuple[Tensor, Code]:
        """The reconstruction [N, D] of activations [N, D], and their code."""
        code = self.encode(x)
        return self.decode(code), code

    @torch.no_grad()
    def normalise(self) -> None:
        """Give every direction length one."""
        self.decoder /= self.decoder.norm(dim=1, keepdim=True).clamp_min(1e-12)

    @torch.no_grad()
    def centre(self, x: Tensor) -> None:
        """Start the decoder's bias at the mean of activations [N, D]."""
        self.decoder_bias.copy_(x.mean(dim=0))
