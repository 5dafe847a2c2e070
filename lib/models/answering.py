"""What a causal language model answers, and how likely it finds an answer that it is shown. Chapter 01."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lib.errors import BookError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def answers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = 12,
    batch: int = 128,
) -> list[str]:
    """The greedy answer to each prompt, without the end mark. Prompts are padded on the left, shortest first.

    Raises BookError when there are no prompts. Leaves the model's mode as it was.
    """
    import torch

    if not prompts:
        raise BookError("there are no prompts to answer; give at least one")
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    found, mode = [""] * len(prompts), model.training
    model.eval()
    try:
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            given = _padded(tokenizer, [tokenizer(prompts[row])["input_ids"] for row in rows], model.device)
            with torch.inference_mode():
                made = model.generate(
                    **given, max_new_tokens=max_new_tokens, do_sample=False, temperature=None, top_p=None, top_k=None,
                    pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
                )  # fmt: skip
            texts = tokenizer.batch_decode(made[:, given["input_ids"].shape[1] :], skip_special_tokens=True)
            for row, text in zip(rows, texts, strict=True):
                found[row] = text
    finally:
        model.train(mode)
    return found


def log_probabilities(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    completions: Sequence[str],
    *,
    batch: int = 128,
) -> np.ndarray:
    """Natural log-probability of each completion, end mark included, given its prompt: float64 [N].

    The sum over the completion's tokens, so a longer text is less likely. Raises BookError for lists of unlike length.
    Chapter 01, "The model already knows".
    """
    import torch

    if len(prompts) != len(completions):
        raise BookError(f"{len(prompts)} prompts and {len(completions)} completions; give one completion a prompt")
    heads = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    tails = [tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id] for text in completions]
    summed = np.zeros(len(heads))
    order = sorted(range(len(heads)), key=lambda index: len(heads[index]) + len(tails[index]))
    mode = model.training
    model.eval()
    try:
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            given = _padded(tokenizer, [heads[row] + tails[row] for row in rows], model.device)
            with torch.inference_mode():
                logs = model(**given).logits[:, :-1].log_softmax(-1)
            token = logs.gather(2, given["input_ids"][:, 1:, None])[..., 0].double().cpu().numpy()
            for place, row in enumerate(rows):
                summed[row] = token[place, -len(tails[row]) :].sum()
    finally:
        model.train(mode)
    return summed


def _padded(tokenizer: PreTrainedTokenizerBase, rows: list[list[int]], device: object) -> dict[str, object]:
    """Token numbers and masks [N, longest], padded on the left."""
    import torch

    longest = max(map(len, rows))
    ids = [[tokenizer.pad_token_id] * (longest - len(row)) + row for row in rows]
    mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
    return {"input_ids": torch.tensor(ids, device=device), "attention_mask": torch.tensor(mask, device=device)}
