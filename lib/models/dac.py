"""Codec tokens of the music post: DAC through transformers, from sound to nine codebooks and back.

The weights (descript/dac_44khz, MIT) are not shipped: give `load` a folder or, with a network, the hub id. Chapter 07's
full plan reads FMA through this; here it is tested on an untrained codec of the same shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lib import quiet_bars  # noqa: F401 (before transformers)
from lib.errors import BookError

if TYPE_CHECKING:
    from transformers import DacConfig, DacModel

HUB_ID = "descript/dac_44khz"


def shape() -> DacConfig:
    """The codec's sizes as transformers has them: hop, codebooks, codes; no weights are needed."""
    from transformers import DacConfig

    return DacConfig()


def load(where: str = HUB_ID) -> DacModel:
    """The codec from a folder or the hub, ready to use. Raises BookError, with the remedy, when it cannot be had."""
    from transformers import DacModel

    try:
        return DacModel.from_pretrained(where).eval()
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BookError(f"no DAC weights at {where!r} ({reason}); fetch {HUB_ID} where there is a network") from error


@torch.no_grad()
def encode(codec: DacModel, samples: Tensor) -> Tensor:
    """Mono samples [n] at the codec's rate -> codes [K, T] with T = n // hop.

    The end that fills no whole frame is left out. Raises BookError for another shape or less than one frame.
    """
    hop = codec.config.hop_length
    if samples.dim() != 1 or len(samples) < hop:
        raise BookError(f"samples have shape {list(samples.shape)}; give [n] with at least {hop}, one frame")
    whole = samples[: len(samples) // hop * hop]
    return codec.encode(whole[None, None]).audio_codes[0]


@torch.no_grad()
def decode(codec: DacModel, codes: Tensor) -> Tensor:
    """Codes [K, T] -> samples, within a few frames of T * hop. Raises BookError for another number of codebooks."""
    if codes.dim() != 2 or codes.shape[0] != codec.config.n_codebooks:
        raise BookError(f"codes have shape {list(codes.shape)}; this codec has [{codec.config.n_codebooks}, T]")
    return codec.decode(audio_codes=codes[None]).audio_values.flatten()
