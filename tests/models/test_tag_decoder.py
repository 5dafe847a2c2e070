"""The pocket decoder: its tokenizer's round trip, its weights on disk, its answers and their probabilities."""

import numpy as np
import pytest
import torch

from lib.errors import BookError
from lib.models import answers, log_probabilities, tag_decoder
from lib.models.tag_decoder import TagDecoderConfig

ASKED = "what is the tag for supply air static pressure setpoint ?\n"
TEXTS = [ASKED, "SupplyAirStaticPressureSetpoint", "SPS", "ZN_T2"]
SMALL = TagDecoderConfig(width=32, layers=2, heads=2, feed_forward=48)


@pytest.fixture(scope="module")
def tokenizer():
    return tag_decoder.word_tokenizer(TEXTS)


@pytest.fixture(scope="module")
def model(tokenizer):
    return tag_decoder.build(SMALL, tokenizer, seed=3)


@pytest.mark.parametrize("text", [*TEXTS, "", " ", "  two  spaces", "zn-2_RHC = SPS?\n\n", "SupplyFoo", "air AIR 12"])
def test_decoding_gives_the_text_back(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_known_words_are_whole_and_the_rest_is_spelled(tokenizer):
    pieces = tokenizer.convert_ids_to_tokens(tokenizer("SupplyAirStaticPressureSetpoint is SPX zn")["input_ids"])
    assert pieces == ["Supply", "Air", "Static", "Pressure", "Setpoint", " is", " ", "S", "P", "X", " ", "z", "n"]


def test_other_alphabets_become_the_unknown_token_and_no_error(tokenizer):
    assert tokenizer.unk_token_id in tokenizer("Ж 温度")["input_ids"]


def test_the_vocabulary_keeps_the_most_frequent_words():
    counted = tag_decoder.word_tokenizer(["air air water", "air fan"], words=2)
    assert {"air", " air"} <= set(tag_decoder.vocabulary_of(counted))
    assert " fan" not in tag_decoder.vocabulary_of(counted)


def test_a_vocabulary_with_a_token_twice_is_refused():
    with pytest.raises(BookError, match="names every token once"):
        tag_decoder.tokenizer_of(["<pad>", "<end>", "<?>", "a", "a"])


@pytest.mark.parametrize("wrong", [{"width": 30}, {"layers": 0}, {"heads": 0}, {"width": 36, "heads": 4}], ids=str)
def test_shapes_that_cannot_be_are_refused(wrong):
    with pytest.raises(BookError):
        TagDecoderConfig(**wrong)


def test_the_seed_decides_the_weights_and_nothing_else_moves(tokenizer):
    torch.manual_seed(0)
    before = torch.random.get_rng_state()
    one, two, other = (tag_decoder.build(SMALL, tokenizer, seed=seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_weights_come_back_from_disk_as_stored(model, tokenizer, tmp_path):
    path = tag_decoder.save(model, tokenizer, tmp_path / "a.safetensors")
    again, words = tag_decoder.load(path)
    assert tag_decoder.vocabulary_of(words) == tag_decoder.vocabulary_of(tokenizer)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.half().float()), name
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_file_that_is_no_decoder_is_refused(tmp_path):
    path = tmp_path / "b.safetensors"
    for content in (b"", b"no weights", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "):
        path.write_bytes(content)
        with pytest.raises(BookError, match="no tag decoder"):
            tag_decoder.load(path)


def test_an_answer_does_not_depend_on_who_is_asked_beside_it(model, tokenizer):
    prompts = [*TEXTS[:1], "air ?\n", "what is the SPS of the fan in the room ?\n"]
    together = answers(model, tokenizer, prompts, max_new_tokens=6)
    assert together == [answers(model, tokenizer, [prompt], max_new_tokens=6)[0] for prompt in prompts]
    assert together == answers(model, tokenizer, prompts, max_new_tokens=6, batch=2)
    assert not model.training


def test_log_probabilities_are_those_of_a_plain_loop(model, tokenizer):
    prompts, said = ["air ?\n", TEXTS[0]], ["SPS", "SupplyAir"]
    expected = []
    for prompt, text in zip(prompts, said, strict=True):
        ids, total = tokenizer(prompt)["input_ids"], 0.0
        for token in [*tokenizer(text)["input_ids"], tokenizer.eos_token_id]:
            with torch.no_grad():
                total += model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)[token].item()
            ids = [*ids, token]
        expected.append(total)
    assert np.allclose(log_probabilities(model, tokenizer, prompts, said), expected, atol=1e-4)


def test_odd_requests_are_refused(model, tokenizer):
    with pytest.raises(BookError, match="no prompts"):
        answers(model, tokenizer, [])
    with pytest.raises(BookError, match="1 prompts and 2 completions"):
        log_probabilities(model, tokenizer, ["a"], ["b", "c"])


def test_the_parameters_are_about_seven_tenths_of_a_million(tokenizer):
    with torch.device("meta"):
        count = sum(value.numel() for value in tag_decoder.build(TagDecoderConfig(), tokenizer, 0).parameters())
    assert 0.55e6 < count < 0.95e6
