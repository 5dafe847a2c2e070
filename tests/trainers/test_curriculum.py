"""Paths of stages: each stage taught once a seed, in order, from the right model."""

from __future__ import annotations

import pytest

from lib.errors import BookError
from lib.trainers.curriculum import Curriculum, equal_steps
from lib.trainers.preferences import Imitation, Leash, Taught


@pytest.fixture
def course():
    calls = []

    def stage(name):
        def teach(model, seed):
            calls.append((name, model, seed))
            return Taught(f"{model}>{name}{seed}", ({"loss": 1.0},))

        return teach

    made = Curriculum({"base": "B", "SFT": "S"}, {name: stage(name) for name in ("GRPO", "DPO", "more")})
    return made, calls


def test_a_path_is_walked_in_order_and_every_stage_once(course):
    made, calls = course
    assert made.reach("SFT+GRPO+DPO", 3).model == "S>GRPO3>DPO3"
    assert made.reach("SFT+GRPO", 3).model == "S>GRPO3"
    assert made.reach("SFT+GRPO+more", 3).model == "S>GRPO3>more3"
    assert calls == [("GRPO", "S", 3), ("DPO", "S>GRPO3", 3), ("more", "S>GRPO3", 3)]
    assert made.reach("SFT+GRPO", 4).model == "S>GRPO4"
    assert made.reach("base+GRPO", 3).model == "B>GRPO3"
    assert made.reach("SFT+DPO", 3).model == "S>DPO3"


def test_a_start_alone_is_untaught(course):
    made, calls = course
    assert made.reach("SFT", 0) == Taught("S", ())
    assert not calls


@pytest.mark.parametrize("path", ["", "GRPO", "SFT+PPO", "SFT+", "SFT GRPO", "SFT+SFT"])
def test_a_path_that_is_not_there_is_named_with_what_is(course, path):
    with pytest.raises(BookError, match=r"base, SFT, then any of GRPO, DPO, more"):
        course[0].reach(path, 0)


def test_names_must_be_joinable():
    for starts, stages in (({"a+b": 1}, {}), ({"a": 1}, {"": None})):
        with pytest.raises(BookError, match="cannot name"):
            Curriculum(starts, stages)


def test_equal_compute_counts_five_passes_an_answer_against_three_a_pair():
    leash, imitation = Leash(steps=30, prompts=12, group=4), Imitation(batch=48)
    steps = equal_steps(leash, imitation)
    assert steps * 48 * 3 == pytest.approx(30 * 12 * 4 * 5, rel=0.02)
    assert equal_steps(Leash(steps=60, prompts=12), imitation) == pytest.approx(2 * steps, abs=1)
    assert equal_steps(Leash(steps=1, prompts=1, group=2), Imitation(batch=512)) == 1
