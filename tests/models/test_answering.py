"""Answers and log-probabilities of a small decoder, against one forward pass a token and one prompt at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lib.errors import BookError
from lib.models import answers, log_probabilities, tag_decoder

PROMPTS = ["what is the tag ?\n", "name it\n", "x\n", "a much longer question about the supply air fan , is it ?\n"]


@pytest.fixture(scope="module")
def small():
    words = tag_decoder.word_tokenizer([*PROMPTS, "SPS", "supply fan"], words=60)
    model = tag_decoder.build(tag_decoder.TagDecoderConfig(width=32, layers=2, heads=2, feed_forward=48), words, seed=1)
    with torch.no_grad():  # sharper than a fresh model, so that no two tokens tie
        model.model.norm.weight *= 8
    return model, words


def slowly(model, words, prompt, tokens):
    """Greedy, one full forward pass a token, no padding, no cache."""
    ids = words(prompt)["input_ids"]
    given = len(ids)
    for _ in range(tokens):
        with torch.inference_mode():
            ids = [*ids, int(model(torch.tensor([ids])).logits[0, -1].argmax())]
        if ids[-1] == words.eos_token_id:
            break
    return words.decode(ids[given:], skip_special_tokens=True)


@pytest.mark.parametrize("batch", [1, 2, 128])
def test_an_answer_is_the_greedy_one_however_prompts_are_batched(small, batch):
    model, words = small
    found = answers(model, words, PROMPTS, max_new_tokens=6, batch=batch)
    assert found == [slowly(model, words, prompt, 6) for prompt in PROMPTS]
    assert answers(model, words, PROMPTS[::-1], max_new_tokens=6, batch=batch) == found[::-1]
    assert len(set(found)) > 1


@pytest.mark.parametrize("batch", [1, 3, 128])
def test_a_log_probability_is_the_sum_over_the_completion_and_its_end(small, batch):
    model, words = small
    texts = ["SPS", "supply fan", "", "a"]
    found = log_probabilities(model, words, PROMPTS, texts, batch=batch)
    for prompt, text, given in zip(PROMPTS, texts, found, strict=True):
        head = words(prompt)["input_ids"]
        tail = [*words(text)["input_ids"], words.eos_token_id]
        with torch.inference_mode():
            logs = model(torch.tensor([head + tail])).logits[0].double().log_softmax(-1)
        by_hand = sum(float(logs[len(head) + place - 1, token]) for place, token in enumerate(tail))
        assert given == pytest.approx(by_hand, abs=1e-3)
    assert found.dtype == np.float64


def test_one_token_completions_share_at_most_all_probability(small):
    model, words = small
    pieces = [piece for piece in tag_decoder.vocabulary_of(words)[3:] if words(piece)["input_ids"].__len__() == 1]
    found = log_probabilities(model, words, ["name it\n"] * len(pieces), pieces)
    assert 0 < np.exp(found).sum() <= 1 + 1e-5


def test_the_mode_is_left_as_it_was(small):
    model, words = small
    model.train()
    answers(model, words, PROMPTS[:1], max_new_tokens=1)
    log_probabilities(model, words, PROMPTS[:1], ["SPS"])
    assert model.training
    model.eval()


def test_nothing_to_do_is_refused(small):
    with pytest.raises(BookError, match="no prompts"):
        answers(*small, [])
    with pytest.raises(BookError, match="2 prompts and 1"):
        log_probabilities(*small, ["a", "b"], ["c"])
