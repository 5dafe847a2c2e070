"""A pocket scale axis: one GPT-NeoX architecture at several widths, trained alike, so that width is all that differs.

Pythia's own design in small (Biderman et al. 2023): parallel attention and feed-forward, rotary positions on a quarter
of each head, LayerNorm with its mean taken out, input and output embeddings apart. Weights are kept in half precision
with the shape beside them, in one safetensors file. Chapters 05 and 06.

    model = build(LadderConfig(width=64), seed=0)
"""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lib import quiet_bars  # noqa: F401 (before transformers)
from lib.errors import BookError

if TYPE_CHECKING:
    from transformer_lens import HookedTransformer
    from transformers import GPTNeoXForCausalLM


@dataclass(frozen=True)
class LadderConfig:
    """Shape of one rung. Raises BookError for sizes that make no model."""

    width: int = 64
    """Numbers in the residual stream; a multiple of `head_width`."""
    layers: int = 4
    """Blocks."""
    head_width: int = 16
    """Numbers in an attention head; a multiple of 8, because a quarter of them is rotated in pairs."""
    context: int = 128
    """Longest sequence, in tokens."""
    vocabulary: int = 1024
    """Tokens of the tokenizer."""

    def __post_init__(self) -> None:
        if min(self.width, self.layers, self.head_width, self.context, self.vocabulary) < 1:
            raise BookError(f"{self}: every size must be at least 1")
        if self.width % self.head_width or self.head_width % 8:
            raise BookError(
                f"width={self.width} in heads of {self.head_width}; give heads of 8, 16, ... that divide it"
            )


def build(config: LadderConfig, seed: int) -> GPTNeoXForCausalLM:
    """A model with weights drawn from N(0, 0.02^2) by a generator of its own and biases at zero."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    shape = GPTNeoXConfig(
        vocab_size=config.vocabulary,
        hidden_size=config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.width // config.head_width,
        intermediate_size=4 * config.width,
        max_position_embeddings=config.context,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.25},
        use_parallel_residual=True,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng():  # the class draws weights of its own, which are replaced below
        model = GPTNeoXForCausalLM(shape)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                weight.normal_(std=0.02, generator=generator)
    return model.eval()


def save(model: GPTNeoXForCausalLM, path: Path) -> None:
    """Write the weights in half precision, with the shape of the model in the file's header."""
    from safetensors.torch import save_file

    config = model.config
    shape = LadderConfig(
        width=config.hidden_size,
        layers=config.num_hidden_layers,
        head_width=config.hidden_size // config.num_attention_heads,
        context=config.max_position_embeddings,
        vocabulary=config.vocab_size,
    )
    weights = {name: weight.half().contiguous() for name, weight in model.state_dict().items()}
    save_file(weights, path, metadata={"ladder": json.dumps(asdict(shape))})


def load(path: Path) -> GPTNeoXForCausalLM:
    """The model of a file that `save` wrote, in float32. Raises BookError for any other file."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        about = file.metadata() or {}
        if "ladder" not in about:
            raise BookError(f"{path} holds no rung of the ladder; give a file that `neox_ladder.save` wrote")
        model = build(LadderConfig(**json.loads(about["ladder"])), seed=0)
        model.load_state_dict({name: file.get_tensor(name).float() for name in file.keys()})  # noqa: SIM118 (no mapping)
    return model


def hooked(model: GPTNeoXForCausalLM) -> HookedTransformer:
    """The same function as a HookedTransformer of TransformerLens, with its weights as they are (nothing folded)."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig
    from transformer_lens.pretrained.weight_conversions import convert_neox_weights

    config = model.config
    heads = config.num_attention_heads
    shape = HookedTransformerConfig(
        n_layers=config.num_hidden_layers,
        d_model=config.hidden_size,
        n_ctx=config.max_position_embeddings,
        d_head=config.hidden_size // heads,
        n_heads=heads,
        d_mlp=config.intermediate_size,
        d_vocab=config.vocab_size,
        act_fn=config.hidden_act,
        eps=config.layer_norm_eps,
        normalization_type="LN",
        positional_embedding_type="rotary",
        rotary_dim=config.hidden_size // heads // 4,
        rotary_adjacent_pairs=False,
        parallel_attn_mlp=True,
        default_prepend_bos=False,
        seed=None,
        device="cpu",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the class leaves with version 4, which the lock excludes
        twin = HookedTransformer(shape)
    twin.load_state_dict(convert_neox_weights(model, shape), strict=False)
    return twin.eval()
