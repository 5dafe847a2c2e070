"""A cache for a model that was trained without one: its copies are averaged, and nothing is learned.

The paper's variant for after training keeps a moving average of cached states. Here a decoder without a cache lends its
weights to one with a cache, whose gates depend on the age of a segment alone. Kernel README, equation 19, says what
such an average can change: nothing where segments begin empty; where the memory is carried on, old tokens count more.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from lib.models.cached_memory import CachedMemoryDecoder, require

FORMS = {
    "average": {"aggregate": "soup", "mode": "checkpoint"},
    "moving_average": {"aggregate": "soup", "mode": "checkpoint", "fade": 0.5},
    "average_of_segments": {"aggregate": "soup", "mode": "independent"},
    "average_of_reads": {"aggregate": "gated", "mode": "independent"},
}
"""What chapter 08 tries: one average of all copies, one that halves with each segment of age, and, where segments begin
empty, the average of the memories and of what they answer."""


class AveragedCache(nn.Module):
    """A CachedMemoryDecoder without a cache, read through copies that are weighed by their age.

    model: trained with cache="none"; its weights are copied. aggregate, mode: as `gated_residual_memory` has them.
    fade: factor on the weight of a copy for each segment of age, 0 to 1; 1 weighs all alike, 0 reads the current alone.
    Raises BookError for a model that has a cache, or another fade. Used by chapter 08.
    Source: Behrouz et al., Memory Caching (2026), the variant for after training.
    """

    def __init__(
        self, model: CachedMemoryDecoder, *, aggregate: str = "soup", mode: str = "checkpoint", fade: float = 1.0
    ) -> None:
        super().__init__()
        require(model.config.cache == "none", f"cache={model.config.cache!r}; give a model trained without one, 'none'")
        require(0 <= fade <= 1, f"fade={fade}; give a factor from 0 to 1")
        form = {"cache": "faithful", "gates": "uniform", "gate_bias": None, "aggregate": aggregate, "mode": mode}
        self.cached = CachedMemoryDecoder(replace(model.config, **form))
        self.cached.load_state_dict(model.state_dict())
        self.fade = fade

    def forward(self, tokens: Tensor, lengths: object = None) -> Tensor:
        """Logits [B, K, T, V] of tokens [B, K, T]; lengths as in CachedMemoryDecoder, not needed."""
        return self.logits(self.hidden(tokens))

    def hidden(self, tokens: Tensor, *, gates: None = None) -> Tensor:
        """Residual stream after the last block [B, T, d]; the gates are the average's own."""
        ages = fading_gates(tokens.shape[-1], self.cached.config.segment, self.fade)
        return self.cached.hidden(tokens, gates=ages.expand(len(tokens), -1, -1))

    def logits(self, x: Tensor) -> Tensor:
        """Residual stream [..., T, d] -> logits [..., K, T, V]."""
        return self.cached.logits(x)


def fading_gates(time: int, segment: int, fade: float) -> Tensor:
    """Gates [1, T, N] in proportion to fade^age, the age of a copy counted in segments, the current one's being 0."""
    own = torch.arange(time) // segment
    ages = own[:, None] - torch.arange(int(own[-1]) + 1)
    weights = torch.where(ages >= 0, torch.tensor(fade) ** ages.clamp_min(0), 0.0)
    return (weights / weights.sum(-1, keepdim=True))[None]
