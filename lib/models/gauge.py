"""The same function with other activations: a direction of the residual stream that no later layer can see.

LayerNorm takes the mean over coordinates out. So a multiple of the all-ones direction, added to every token's input
embedding, rides along in the residual stream and is removed before every block and before the output: the logits stay
as they were. The multiple s_t is drawn once for each token of the vocabulary. What changes is the variance of the
activations, and with it every measure that divides by it. Chapter 05, "R2 can be bought for free".

Holds for models whose every reader of the stream is a LayerNorm (GPT-NeoX); not for RMSNorm, which keeps the mean.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from lib.errors import BookError

if TYPE_CHECKING:
    from transformers import GPTNeoXForCausalLM


@torch.no_grad()
def shifted(model: GPTNeoXForCausalLM, variance: float, seed: int) -> GPTNeoXForCausalLM:
    """A copy whose stream gets s_t 1/sqrt(D) at token t, with s_t from N(0, variance): same logits, larger variance.

    variance: squared units of the activations; 0 gives a plain copy. The total variance of a stream whose tokens are
    spread over the vocabulary rises by about `variance`. Raises BookError for a model that would see the shift.
    """
    if model.config.model_type != "gpt_neox" or model.config.tie_word_embeddings:
        raise BookError("the shift is invisible to GPT-NeoX with embeddings of its own for input and output only")
    if variance < 0:
        raise BookError(f"variance={variance}; give 0 or more")
    twin = copy.deepcopy(model)
    table = twin.get_input_embeddings().weight
    drawn = torch.randn(len(table), 1, generator=torch.Generator().manual_seed(seed))
    table += variance**0.5 * drawn / table.shape[1] ** 0.5
    return twin
