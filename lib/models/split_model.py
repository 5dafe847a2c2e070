"""A causal language model cut in two at its residual stream, so that what flows there can be read and replaced.

    parts = SplitModel(model, layer=2)        # after block 2, counted from 0: resid_post of that block
    stream = parts.head(sequences)            # [B, T, D]
    logits = parts.tail(stream)               # [B, T, V]; equals the model's own

Nothing is hooked: the tail is a model of the same class that holds the remaining blocks and takes the stream as its
input embedding. So a tail can be differentiated, and run alone, without paying for the head. Chapters 05 and 06.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lib.errors import BookError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

STACKS = {"gpt_neox": ("gpt_neox", "layers"), "llama": ("model", "layers")}  # models without positions at the input


class SplitModel:
    """The two parts of a model, which share its weights.

    model: a GPT-NeoX or Llama causal language model of transformers, in evaluation mode. layer: the block after which
    it is cut, from 0; after the last block only the final norm and the output embedding are left.
    Raises BookError for a model of another kind, or a layer that it lacks.
    """

    def __init__(self, model: PreTrainedModel, layer: int) -> None:
        kind = model.config.model_type
        if kind not in STACKS:
            raise BookError(f"a model of type {kind!r} cannot be split; give one of {', '.join(sorted(STACKS))}")
        blocks = getattr(getattr(model, STACKS[kind][0]), STACKS[kind][1])
        if not 0 <= layer < len(blocks):
            raise BookError(f"layer {layer} of a model with {len(blocks)}; give 0 to {len(blocks) - 1}")
        self.layer, self.width, self.kind = layer, model.config.hidden_size, kind
        self._head, self._tail = _part(model, blocks[: layer + 1]), _part(model, blocks[layer + 1 :])
        setattr(getattr(self._head, STACKS[kind][0]), _final_norm(kind), nn.Identity())

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._head.device

    def head(self, sequences: Tensor) -> Tensor:
        """The residual stream [B, T, D] after the layer, for token sequences [B, T]."""
        return getattr(self._head, STACKS[self.kind][0])(sequences, use_cache=False).last_hidden_state

    def tail(self, stream: Tensor) -> Tensor:
        """The logits [B, T, V] that follow from a residual stream [B, T, D]."""
        return self._tail(inputs_embeds=stream, use_cache=False).logits


@torch.no_grad()
def streams(model: PreTrainedModel, layers: Sequence[int], sequences: Tensor, batch: int = 16) -> dict[int, Tensor]:
    """The residual stream [N, T, D] after each of some layers, for sequences [N, T]; the model runs to the deepest."""
    deepest = SplitModel(model, max(layers))
    stack = getattr(getattr(deepest._head, STACKS[deepest.kind][0]), STACKS[deepest.kind][1])
    found: dict[int, list[Tensor]] = {layer: [] for layer in layers}
    hooks = [stack[layer].register_forward_hook(_keeper(found[layer])) for layer in found]
    try:
        for start in range(0, len(sequences), batch):
            deepest.head(sequences[start : start + batch].to(deepest.device))
    finally:
        for hook in hooks:
            hook.remove()
    return {layer: torch.cat(parts) for layer, parts in found.items()}


def thirds(count: int) -> dict[str, int]:
    """Three depths of a model with that many blocks: early after a quarter, mid after half, late one before the last.

    The last block is left out on purpose: what follows it is no more than a norm and a matrix.
    """
    if count < 4:
        raise BookError(f"{count} blocks have no three separate depths; give a model with 4 or more")
    return {"early": count // 4 - 1, "mid": count // 2 - 1, "late": count - 2}


def _keeper(parts: list[Tensor]):
    def keep(module: nn.Module, inputs: tuple, output: Tensor | tuple) -> None:
        parts.append((output[0] if isinstance(output, tuple) else output).detach().cpu())

    return keep


def _part(model: PreTrainedModel, blocks: nn.ModuleList) -> PreTrainedModel:
    """The model with some of its blocks, all weights shared."""
    name, stack = STACKS[model.config.model_type]
    part, inner = copy.copy(model), copy.copy(getattr(model, name))
    part._modules, inner._modules = dict(model._modules), dict(inner._modules)
    part.config = inner.config = copy.copy(model.config)
    part.config.num_hidden_layers = len(blocks)
    inner._modules[stack] = nn.ModuleList(blocks)
    part._modules[name] = inner
    return part


def _final_norm(kind: str) -> str:
    return {"gpt_neox": "final_layer_norm", "llama": "norm"}[kind]
