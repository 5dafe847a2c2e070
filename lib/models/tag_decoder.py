"""A pocket decoder that knows words: small enough to be trained from nothing, and a model that trl and peft can take.

The tokenizer has one token for every known word and falls back to single characters for the rest, so that a short tag
is spelled and a verbose name is a few whole words. A space belongs to the word that follows it. Both halves are
ordinary classes of `transformers`, so the trainers of `trl` see nothing special.

    tokenizer = word_tokenizer(texts)
    model = build(TagDecoderConfig(), tokenizer, seed=0)

Left out: dropout (the runs are short), an attention window (prompts are one sentence), sampling tricks. Chapter 01.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lib import quiet_bars  # noqa: F401 (before transformers)
from lib.errors import BookError

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

PAD, END, UNKNOWN = "<pad>", "<end>", "<?>"
PIECES = r" ?[A-Z]?[a-z]+| ?\d| ?[A-Z]|\s|."  # a word with its space, a digit, a capital, else one character


@dataclass(frozen=True)
class TagDecoderConfig:
    """Shape of the pocket decoder; the defaults give about 0.7 million parameters. Raises BookError if it cannot be."""

    width: int = 128
    """Size of a token's vector; a multiple of `heads`."""
    layers: int = 3
    """Blocks of attention and feed-forward."""
    heads: int = 4
    """Attention heads of a block."""
    feed_forward: int = 344
    """Inner size of the gated feed-forward part."""
    context: int = 96
    """Longest prompt and answer together, in tokens."""

    def __post_init__(self) -> None:
        if min(self.width, self.layers, self.heads, self.feed_forward, self.context) < 1:
            raise BookError(f"{self}: every size must be at least 1")
        if self.width % (2 * self.heads):
            raise BookError(f"width={self.width} does not split over {self.heads} heads of even size; use a multiple")


def word_tokenizer(texts: Iterable[str], words: int = 1000) -> PreTrainedTokenizerFast:
    """A tokenizer with the most frequent words of some texts and, for all other words, every character it has met.

    texts: the training texts; words: how many whole words it keeps at most (ties in alphabetical order). Decoding is
    joining: `decode(encode(text)) == text` for text of known characters. Chapter 01, "Build it".
    """
    import re

    texts = list(texts)
    counts = Counter(piece for text in texts for piece in re.findall(PIECES, text, flags=re.DOTALL))
    letters = sorted(set("".join(texts)) | set(map(chr, range(32, 127))) | {"\n"})
    frequent = sorted((piece for piece in counts if len(piece) > 1), key=lambda piece: (-counts[piece], piece))
    return tokenizer_of([PAD, END, UNKNOWN, *letters, *frequent[:words]])


def tokenizer_of(vocabulary: list[str]) -> PreTrainedTokenizerFast:
    """The tokenizer whose tokens are listed, in the order of their numbers; raises BookError for one named twice."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    numbers = {piece: number for number, piece in enumerate(vocabulary)}
    if len(numbers) < len(vocabulary) or vocabulary[:3] != [PAD, END, UNKNOWN]:
        raise BookError(f"a vocabulary begins with {PAD}, {END}, {UNKNOWN} and names every token once")
    # No merges: a piece is one token when the vocabulary has it whole, and single characters when not.
    tokenizer = Tokenizer(models.BPE(numbers, [], unk_token=UNKNOWN, ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, unk_token=UNKNOWN, padding_side="left",
        clean_up_tokenization_spaces=False,
    )  # fmt: skip


def build(config: TagDecoderConfig, tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A new decoder for a tokenizer, its weights drawn from `seed`; leaves torch's own random state as it was."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=config.width, num_hidden_layers=config.layers,
        num_attention_heads=config.heads, num_key_value_heads=config.heads, intermediate_size=config.feed_forward,
        max_position_embeddings=config.context, tie_word_embeddings=True, initializer_range=0.05,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(shape).eval()


def vocabulary_of(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The tokens in the order of their numbers: what `tokenizer_of` takes."""
    return [piece for piece, _ in sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])]


def config_of(model: LlamaForCausalLM) -> TagDecoderConfig:
    """The shape that a decoder was built with."""
    shape = model.config
    return TagDecoderConfig(
        width=shape.hidden_size, layers=shape.num_hidden_layers, heads=shape.num_attention_heads,
        feed_forward=shape.intermediate_size, context=shape.max_position_embeddings,
    )  # fmt: skip


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, path: Path | str) -> Path:
    """Write a decoder and its vocabulary as one fp16 safetensors file; whole under its name, or not there at all."""
    import torch
    from safetensors.torch import save_file

    path = Path(path)
    record = {"config": asdict(config_of(model)), "vocabulary": vocabulary_of(tokenizer)}
    tensors = {name: value.detach().to(torch.float16).contiguous() for name, value in model.state_dict().items()
               if name != "lm_head.weight"}  # fmt: skip
    partial = path.with_name(f".partial-{path.name}")
    try:
        save_file(tensors, partial, metadata={"tag_decoder": json.dumps(record)})
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except Exception as error:
        partial.unlink(missing_ok=True)
        raise BookError(f"{path} could not be written ({error}); give a folder with space") from error
    return path


def load(path: Path | str) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Read what `save` wrote, as float32. Raises BookError for a file that is no whole tag decoder."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads((file.metadata() or {})["tag_decoder"])
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a mapping)
        tokenizer = tokenizer_of(record["vocabulary"])
        model = build(TagDecoderConfig(**record["config"]), tokenizer, seed=0)
        missing, unexpected = model.load_state_dict(state, strict=False)
        if unexpected or set(missing) - {"lm_head.weight"}:
            raise ValueError(f"weights {[*missing, *unexpected][0]} do not fit")
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise BookError(f"{path} is no tag decoder that can be read ({reason}); `make prepare` remakes it") from error
    return model.eval(), tokenizer
