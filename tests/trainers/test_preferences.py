"""The three preference trainers: they learn what they are given, leave the model alone, ask trl by its own names."""

import inspect
import random

import numpy as np
import pytest
import torch

from lib.errors import BookError
from lib.models import answers, log_probabilities, tag_decoder
from lib.trainers import trl_arguments
from lib.trainers.curriculum import Curriculum, equal_steps
from lib.trainers.preferences import POCKET, POST, Adapter, Imitation, Leash, Pairs, Taught, dpo, grpo, sft
from lib.trainers.trl_arguments import accepted, own_randomness

WORDS = {"fan": "FN", "pump": "PMP", "valve": "VLV", "coil": "C"}
PAIRS = [(f"the tag of {word} ?\n", tag) for word, tag in WORDS.items()] * 4
PROMPTS = [prompt for prompt, _ in PAIRS]
SMALL = tag_decoder.TagDecoderConfig(width=32, layers=1, heads=2, feed_forward=48)


@pytest.fixture(scope="module")
def tokenizer():
    return tag_decoder.word_tokenizer([text for pair in PAIRS for text in pair])


@pytest.fixture(scope="module")
def start(tokenizer):
    return tag_decoder.build(SMALL, tokenizer, seed=0)


@pytest.fixture(scope="module")
def tuned(start, tokenizer):
    return sft(start, tokenizer, PAIRS, Imitation(steps=40, batch=8, rate=1e-2)).model


def weights(model):
    return torch.cat([value.detach().flatten() for value in model.parameters()])


def test_the_presets_are_the_post_and_not_trl():
    assert (POST.loss, POST.beta, POST.group, POST.rate) == ("grpo", 0.2, 4, 5e-7)
    assert (POST.adapter.rank, POST.adapter.alpha) == (4, 8)
    assert (POCKET.loss, POCKET.beta, POCKET.group) == (POST.loss, POST.beta, POST.group)
    assert POCKET.rate > POST.rate


def test_imitation_learns_the_pairs_and_leaves_the_model_alone(start, tokenizer):
    before = weights(start).clone()
    taught = sft(start, tokenizer, PAIRS, Imitation(steps=40, batch=8, rate=1e-2))
    assert answers(taught.model, tokenizer, PROMPTS[:4], max_new_tokens=5) == list(WORDS.values())
    assert torch.equal(before, weights(start))
    assert taught.history[0]["loss"] > 5 * taught.history[-1]["loss"]


def test_the_same_seed_teaches_the_same(start, tokenizer):
    recipe = Imitation(steps=3, batch=4, seed=5)
    one, two = (weights(sft(start, tokenizer, PAIRS, recipe).model) for _ in range(2))
    other = weights(sft(start, tokenizer, PAIRS, Imitation(steps=3, batch=4, seed=6)).model)
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_training_leaves_the_global_generators_alone(start, tokenizer):
    before = random.getstate(), np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
    sft(start, tokenizer, PAIRS, Imitation(steps=1, batch=2))
    assert before[0] == random.getstate()
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[2], torch.random.get_rng_state())


def test_group_reward_moves_sampling_towards_what_earns_more(start, tokenizer):
    tuned = sft(start, tokenizer, PAIRS, Imitation(steps=12, batch=8, rate=5e-3)).model  # still unsure of itself
    leash = Leash(steps=12, prompts=8, rate=2e-2, beta=0.0, max_new_tokens=4, adapter=Adapter(8, 16))
    seen = []

    def reward(number, text):
        seen.append((number, text))
        return float(text.startswith("F"))

    taught = grpo(tuned, tokenizer, PROMPTS, reward, leash)
    earned = [text.startswith("F") for _, text in seen]
    assert sum(earned[-64:]) > sum(earned[:64]) + 4
    logs = [log_probabilities(model, tokenizer, PROMPTS[:4], ["F"] * 4) for model in (tuned, taught.model)]
    assert not np.allclose(*logs), "a copy of a model that trl has trained must not go on calling that model"
    assert len(seen) == 12 * 8 * 4
    assert {number for number, _ in seen} <= set(range(len(PROMPTS)))
    assert {"loss", "reward", "zero_signal", "length", "mixed"} <= set(taught.history[-1])


def test_without_a_signal_and_with_a_leash_nothing_moves(tuned, tokenizer):
    leash = Leash(steps=2, prompts=4, group=2, rate=1e-2, beta=0.2, max_new_tokens=3)
    taught = grpo(tuned, tokenizer, PROMPTS, lambda number, text: 1.0, leash)
    assert torch.allclose(weights(taught.model), weights(tuned), atol=1e-6)
    assert taught.last("zero_signal") == 1.0
    assert taught.last("kl") == pytest.approx(0.0, abs=1e-5)


def test_pairs_raise_the_chosen_above_the_rejected(tuned, tokenizer):
    triples = [(prompt, tag + "X", tag) for prompt, tag in PAIRS]
    margin = lambda model: np.mean(  # noqa: E731
        log_probabilities(model, tokenizer, PROMPTS, [c for _, c, _ in triples])
        - log_probabilities(model, tokenizer, PROMPTS, [r for _, _, r in triples])
    )
    taught = dpo(tuned, tokenizer, triples, Pairs(steps=15, batch=8, rate=1e-2, adapter=Adapter(8, 16)))
    assert margin(taught.model) > margin(tuned) + 1
    anchored = dpo(tuned, tokenizer, triples, Pairs(steps=2, batch=4, imitation=1.0))
    assert len(anchored.history) == 2


class NewGRPOConfig:
    def __init__(self, max_completion_length=512, beta=0.0):
        pass


class OldGRPOConfig:
    def __init__(self, max_new_tokens=256, beta=0.04):
        pass


class Trainers:
    def new(self, model, reward_funcs, processing_class):
        pass

    def old(self, model, reward_function, tokenizer):
        pass


NAMES = [(NewGRPOConfig, "max_completion_length"), (OldGRPOConfig, "max_new_tokens")]


@pytest.mark.parametrize(("config", "name"), NAMES)
def test_the_longest_answer_is_asked_for_by_the_name_that_exists(config, name):
    assert accepted(config.__init__, {"max_completion_length|max_new_tokens": 9, "beta": 0.2}) == {name: 9, "beta": 0.2}


@pytest.mark.parametrize("names", [("reward_funcs", "processing_class"), ("reward_function", "tokenizer")])
def test_trainers_of_both_ages_are_understood(names):
    trainer = Trainers.new if "reward_funcs" in names else Trainers.old
    wanted = {"reward_funcs|reward_function": 1, "processing_class|tokenizer": 2}
    assert accepted(trainer, wanted) == dict(zip(names, (1, 2), strict=True))


def test_an_argument_that_no_version_has_is_never_dropped():
    with pytest.raises(BookError, match="none of loss_kind, loss_sort"):
        accepted(NewGRPOConfig.__init__, {"loss_kind|loss_sort": "grpo"})
    assert accepted(NewGRPOConfig.__init__, {"loss_kind": "x"}, optional=("loss_kind",)) == {}
    assert accepted(lambda **anything: None, {"new|old": 1}) == {"new": 1}


def test_randomness_is_put_back_even_after_an_error():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()

    def fails():
        with own_randomness(3):
            torch.rand(4)
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fails()
    assert torch.equal(before, torch.random.get_rng_state())


def test_qlora_without_a_gpu_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BookError, match="QLoRA needs a GPU"):
        trl_arguments.four_bit()


@pytest.mark.parametrize(
    "make",
    [
        lambda: Imitation(steps=0), lambda: Leash(group=1), lambda: Leash(beta=-1), lambda: Leash(temperature=0),
        lambda: Pairs(beta=0), lambda: Pairs(imitation=-1), lambda: Adapter(rank=0), lambda: Leash(rate=float("nan")),
    ],
)  # fmt: skip
def test_values_that_make_no_training_are_refused(make):
    with pytest.raises(BookError):
        make()


def test_empty_lessons_are_refused(start, tokenizer):
    for call in (
        lambda: sft(start, tokenizer, [], Imitation()),
        lambda: grpo(start, tokenizer, [], lambda number, text: 0.0, Leash()),
        lambda: dpo(start, tokenizer, [], Pairs()),
    ):
        with pytest.raises(BookError, match="to learn from"):
            call()


def test_a_curriculum_teaches_each_stage_once():
    calls = []

    def stage(model, seed):
        calls.append((model, seed))
        return Taught(f"{model}*", ())

    course = Curriculum({"SFT": "a", "base": "b"}, {"GRPO": stage, "DPO": stage})
    assert course.reach("SFT+GRPO+DPO", 1).model == "a**"
    assert course.reach("SFT+GRPO", 1).model == "a*"
    assert course.reach("SFT", 1).model == "a"
    assert calls == [("a", 1), ("a*", 1)]
    course.reach("SFT+GRPO", 2)
    assert calls[-1] == ("a", 2)
    for path in ("", "GRPO", "SFT+PPO", "SFT+"):
        with pytest.raises(BookError, match="no path"):
            course.reach(path, 0)
    with pytest.raises(BookError, match="join names"):
        Curriculum({"a+b": "x"}, {})


def test_equal_compute_counts_passes():
    assert equal_steps(Leash(steps=30, prompts=16, group=4), Imitation(batch=48)) == round(30 * 64 * 5 / 144)


def test_what_was_not_logged_is_named():
    taught = Taught(None, ({"loss": 1.0}, {"loss": 3.0}))
    assert taught.last("loss") == 2.0
    assert taught.last("loss", steps=1) == 3.0
    with pytest.raises(BookError, match="'kl' was not logged"):
        taught.last("kl")


def test_the_installed_trl_is_asked_by_its_own_names():
    from trl import GRPOConfig, GRPOTrainer

    length, tokenizer_name, reward_name = trl_arguments.renamed()
    assert length in inspect.signature(GRPOConfig.__init__).parameters
    assert {tokenizer_name, reward_name} <= set(inspect.signature(GRPOTrainer.__init__).parameters)
