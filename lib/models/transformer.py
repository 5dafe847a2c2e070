"""Transformers to hold a hybrid against: one really matched in size, and the ones that the posts name.

Both are HybridConfigs whose layers all attend, so that everything but the mixer is the same code.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from lib.models.hybrid import HybridDecoder
from lib.models.hybrid_config import HybridConfig

FFN_STEP = 8
"""The matched feed-forward width is a multiple of this."""


def backbone_parameters(config: HybridConfig) -> int:
    """Parameters of all blocks, counted on the meta device."""
    with torch.device("meta"):
        return HybridDecoder(config).component_counts()["backbone"]


def matched_transformer(hybrid: HybridConfig) -> HybridConfig:
    """The attention-only decoder nearest in backbone parameters; the feed-forward width makes up the difference.

    Depth, width, heads, positions, norms and everything else are the hybrid's. Used by chapters 07, 09 and 10.
    """
    attention = replace(hybrid, attention_every=1, ffn_width=FFN_STEP)
    base = backbone_parameters(attention)
    per_step = backbone_parameters(replace(attention, ffn_width=2 * FFN_STEP)) - base
    steps = max(1, 1 + round((backbone_parameters(hybrid) - base) / per_step))
    return replace(attention, ffn_width=steps * FFN_STEP)


def post_transformer(
    width: int = 384, layers: int = 8, heads: int = 6, ffn_width: int = 1024, codebooks: int = 8
) -> HybridConfig:
    """The transformer that the posts set beside their hybrids: GELU, learned positions, no shared keys, no query norm.

    The defaults are the speech preset, said to be matched: 20,472,192 parameters, a backbone 29 % below the hybrid's.
    The 162 M model of the music drafts is post_transformer(768, 20, 12, 3072, 9).
    """
    return HybridConfig(
        codebooks=codebooks,
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=heads,
        ffn_width=ffn_width,
        ffn="gelu",
        attention_every=1,
        qk_norm=False,
        positions="learned",
    )
