"""Exercises of chapter 01: the advantage of a group, a reward with a trap, the size behind a percentage.

`exercises` lists them (lib/press/exercises.py says what an exercise is).
"""

import re
from collections.abc import Callable

import numpy as np
import torch

from lib.analysis.tag_evaluation import counts_that_round_to
from lib.press.exercises import Exercise, NotYet
from lib.rewards import group_advantages


def advantages_stub(rewards):
    """Advantages of one group of answers, as GRPO computes them. rewards: an array of one reward an answer."""
    return np.zeros(len(rewards))


def advantages_solution(rewards):
    """Centred, over the sample standard deviation plus a small number that keeps equal rewards harmless."""
    rewards = np.asarray(rewards, dtype=float)
    return (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-4)


def advantages_test(answer: Callable) -> None:
    """Compare with the library, where each likely slip gives another number."""
    for group in ([1.0, -0.8, -0.8, -0.8], [1.2, 1.0, -0.8, -0.5], [0.3, 0.7], [5.0, 5.0, 5.0, 5.0]):
        rewards = np.array(group)
        given = answer(rewards.copy())
        if given is None or np.shape(given) != rewards.shape:
            raise NotYet(f"for {len(group)} rewards your function returned {given!r}; return one advantage an answer")
        given = np.asarray(given, dtype=float)
        expected = group_advantages(torch.tensor(rewards)[None])[0].numpy()
        if not np.isfinite(given).all():
            raise NotYet(f"{group} are equal rewards, and yours divides by zero: add 1e-4 to the standard deviation")
        if np.allclose(given, expected, atol=1e-9):
            continue
        spread = rewards.std(ddof=1)
        slips = {
            "that is not divided by anything (Dr. GRPO stops here); divide by the standard deviation": rewards
            - rewards.mean(),
            "that is the standard deviation over n; take the sample's, over n - 1": (rewards - rewards.mean())
            / (rewards.std() + 1e-4),
            "the small number is added to the standard deviation itself; use 1e-4": (rewards - rewards.mean())
            / (spread or 1.0),
            "subtract the mean of the group first": rewards / (spread + 1e-4),
            "the sign is turned round: an answer above its group has a positive advantage": -expected,
        }
        for said, value in slips.items():
            if np.allclose(given, value, atol=1e-9):
                raise NotYet(said)
        raise NotYet(
            f"for {group} the advantages are {np.round(expected, 3).tolist()}, not {np.round(given, 3).tolist()}"
        )


def unknown_stub(answer, table):
    """The reward of an answer to a question about equipment that the table does not list. table: a set of tags."""
    return 0.0


def unknown_solution(answer, table):
    """A real tag is the trap, whatever else is said; then a refusal is right; anything else is wrong."""
    words = re.findall(r"[A-Za-z0-9_]+", answer)
    if any(word in table for word in words):
        return -1.0
    return 1.0 if "not in the table" in answer.lower() else -0.5


def unknown_test(answer: Callable) -> None:
    """Try the ways in which a model would earn it without deserving it."""
    table = {"DAT", "SPS", "ZN_T"}
    cases = [
        ("not in the table", 1.0, "a plain refusal is right: +1"),
        ("DAT", -1.0, "naming a real tag is the trap: -1"),
        ("Not in the table.", 1.0, "a capital and a full stop do not change a refusal"),
        ("XQZ", -0.5, "a name that is no tag of the table is wrong, but no trap: -0.5"),
        ("", -0.5, "an empty answer refuses nothing: -0.5"),
        ("not in the table, perhaps DAT", -1.0, "a refusal that still names a real tag is a trap: look for tags first"),
        ("The tag is SPS.", -1.0, "a tag at the end of a sentence is still named: part words from marks"),
        ("ZN_T", -1.0, "a tag may hold an underscore: keep it when you part words"),
        ("DATA is not in the table", 1.0, "DAT is not named in the word DATA: compare whole words"),
        ("dat", -0.5, "tags are written in capitals: 'dat' names none"),
        ("table", -0.5, "one word of the refusal is no refusal"),
    ]
    for text, worth, said in cases:
        given = answer(text, set(table))
        if given is None or np.ndim(given) != 0:
            raise NotYet(f"for {text!r} your function returned {given!r}; return one number")
        if not np.isclose(given, worth):
            raise NotYet(f"for {text!r} yours gives {given:g}: {said}")


def fits_stub(percentages, size):
    """Whether all percentages, written as printed ('67.8', '20'), can be counts out of `size` questions."""
    return False


def fits_solution(percentages, size):
    """Some count, rounded to the printed number of decimals, must give each of them."""
    for text in percentages:
        digits = len(text.partition(".")[2])
        if not any(f"{100 * count / size:.{digits}f}" == text for count in range(size + 1)):
            return False
    return True


def fits_test(answer: Callable) -> None:
    """Compare with the library at sizes where each likely slip shows."""
    post = ["67.8", "83.3", "82.2", "58.9", "20"]
    cases = [
        (post, 90),
        (["50"], 2),
        (["50"], 3),
        (["33"], 3),
        (["33.3"], 3),
        (["33.33"], 3),
        (["33.30"], 3),
        (["0", "100"], 7),
    ]
    cases += [(post, 91), (post, 30), (post, 180), (["67.8"], 59), (["67.8", "58.9"], 59)]
    for percentages, size in cases:
        given = answer(list(percentages), size)
        if given is None:
            raise NotYet(f"for {size} questions your function returned None; return True or False")
        expected = all(counts_that_round_to(text, size) for text in percentages)
        if bool(given) == expected:
            continue
        if percentages == ["33.30"]:
            raise NotYet("'33.30' has two decimals, so 33.33 is not it: count the decimals as printed")
        if expected:
            raise NotYet(
                f"{size} questions can print {', '.join(percentages)}: round each count to the printed decimals"
            )
        raise NotYet(
            f"{size} questions cannot print {', '.join(percentages)}, every one of them: test all, exactly as printed"
        )


exercises = [
    Exercise(
        title="The advantage of a group",
        task="Write the advantages of one group of answers: centred rewards over the sample standard deviation plus "
        "0.0001. Then multiply the rewards by ten and see what changes.",
        difficulty=1,
        minutes=10,
        hint="numpy's std divides by n unless ddof=1. Groups with equal rewards must give zeros, not errors.",
        stub=advantages_stub,
        solution=advantages_solution,
        test=advantages_test,
    ),
    Exercise(
        title="A reward with a trap",
        task="Score answers about unlisted equipment: -1 when a tag of the table is named, else +1 for 'not in the "
        "table', else -0.5. Your function meets answers that try to cheat.",
        difficulty=2,
        minutes=15,
        hint="The order of the two questions matters: first whether a real tag is named, then whether it refuses. "
        "Compare whole words, and let underscores belong to a word.",
        stub=unknown_stub,
        solution=unknown_solution,
        test=unknown_test,
    ),
    Exercise(
        title="The size behind a percentage",
        task="Decide whether printed percentages can all come from one test of a given size. Which sizes up to 400 "
        "could the post's table have?",
        difficulty=2,
        minutes=20,
        hint="Try every count from 0 to the size. Round it to as many decimals as the percentage has, and compare the "
        "texts.",
        stub=fits_stub,
        solution=fits_solution,
        test=fits_test,
    ),
]
