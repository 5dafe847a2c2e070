"""The critic: learns which code stands for which word from graded answers, and says so only when it has."""

from __future__ import annotations

import numpy as np
import pytest

from lib.datasets.tag_scenarios import scenarios
from lib.datasets.taxonomy import taxonomy
from lib.errors import BookError
from lib.rewards.critic import Critic, features


@pytest.fixture(scope="module")
def graded():
    """Reverse lookups with the right tag, another tag and the public name; training tags first, then held-out ones."""
    table = taxonomy()
    rows = {}
    for split, count in (("train", 250), ("test", 60)):
        rng = np.random.default_rng(0)
        items = scenarios(table, "reverse", split, count, rng)
        others = [items[place].tag for place in rng.permutation(len(items))]
        cases = [(item.prompt, item.answer, True) for item in items]
        cases += [(item.prompt, other, False) for item, other in zip(items, others, strict=True) if other != item.tag]
        cases += [(item.prompt, item.verbose, False) for item in items]
        rows[split] = [list(column) for column in zip(*cases, strict=True)]
    return rows


@pytest.fixture(scope="module")
def critic(graded):
    return Critic(sizes=2**13).fit(*graded["train"])


def test_it_tells_right_from_wrong_on_tags_that_it_has_not_seen(critic, graded):
    prompts, completions, right = graded["test"]
    rewards = critic.rewards(prompts, completions)
    tags = np.array([text.isupper() or "_" in text for text in completions])
    right = np.array(right)
    assert np.all(np.abs(rewards) <= 1)
    assert rewards[right].mean() > rewards[~right & tags].mean() + 0.2
    assert rewards[right].mean() > rewards[~tags].mean() + 0.5


def test_shuffled_grades_teach_it_nothing(graded):
    """The control: with grades dealt out anew the difference on held-out tags is gone."""
    prompts, completions, right = graded["train"]
    dealt = np.random.default_rng(1).permutation(right)
    fooled = Critic(sizes=2**13).fit(prompts, completions, dealt)
    prompts, completions, right = graded["test"]
    rewards, right = fooled.rewards(prompts, completions), np.array(right)
    assert abs(rewards[right].mean() - rewards[~right].mean()) < 0.15


def test_one_and_many_agree_and_repeat(critic, graded):
    prompts, completions, _ = (column[:20] for column in graded["test"])
    many = critic.rewards(prompts, completions)
    assert many == pytest.approx([critic.reward(p, c) for p, c in zip(prompts, completions, strict=True)])
    small = [column[::8] for column in graded["train"]]
    first, second = (Critic(sizes=2**13).fit(*small).rewards(prompts, completions) for _ in range(2))
    assert np.array_equal(first, second)


@pytest.mark.parametrize("text", ["", " \n", "供应空气", "SPS " * 500, "<b>SPS</b>", "🙂"])
def test_strange_completions_get_a_finite_reward(critic, text):
    assert -1 <= critic.reward("what is the tag for supply fan ?\n", text) <= 1
    assert features("", text) == features("", text)


def test_a_critic_needs_grades_of_both_kinds():
    with pytest.raises(BookError, match="call fit"):
        Critic().reward("a", "b")
    with pytest.raises(BookError, match="2 right"):
        Critic(sizes=2**13).fit(["a", "b"], ["c", "d"], [True, True])
    with pytest.raises(BookError, match="right and wrong"):
        Critic(sizes=2**13).fit(["a"], ["c", "d"], [True, False])
