"""Exercises of chapter 02: the mask that lets a decoder stop, three in a row, and the sizes behind a percentage.

`exercises` lists them (lib/press/exercises.py says what an exercise is).
"""

from collections.abc import Callable

import numpy as np
import torch

from lib.press.exercises import Exercise, NotYet
from lib.runtime import InARow
from lib.trainers.sequence_loss import trained, trained_by_roll

ROWS = torch.tensor([[5, 7, 0, 0], [5, 0, 0, 0], [5, 7, 9, 4], [0, 0, 0, 0], [0, 0, 0, 6]])


def mask_stub(targets):
    """True where a position is trained; targets [B, T], 0 is the pad."""
    return targets != 0


def mask_solution(targets):
    """Real tokens, and the pad that follows one; nothing lies before position 0."""
    real = targets != 0
    before = torch.cat([torch.zeros_like(real[:, :1]), real[:, :-1]], dim=1)
    return real | before


def mask_test(answer: Callable) -> None:
    """Compare on full, short, empty and wrapping rows."""
    given = answer(ROWS)
    if not isinstance(given, torch.Tensor) or given.shape != ROWS.shape:
        raise NotYet(f"return a tensor of shape {tuple(ROWS.shape)}; yours is {getattr(given, 'shape', type(given))}")
    given = given.bool()
    if torch.equal(given, ROWS != 0):
        raise NotYet("no pad is trained, so nothing asks for the stop: let the first pad of a row through")
    if bool(given[1].all()):
        raise NotYet("every pad is trained; only the first one after a real token is the stop signal")
    if torch.equal(given, trained_by_roll(ROWS)):
        raise NotYet("position 0 of the last row looks at that row's end: shift the row, do not roll it")
    if bool(given[3].any()):
        raise NotYet("the empty row trains something; there is no token before its first pad")
    if not torch.equal(given, trained(ROWS, "first_pad")):
        row = int((given != trained(ROWS, "first_pad")).any(1).nonzero()[0])
        raise NotYet(f"row {ROWS[row].tolist()} should train {trained(ROWS, 'first_pad')[row].int().tolist()}")


def run_stub(labels, count):
    """The labels that are emitted: each once, when it has come `count` times in a row."""
    return list(labels)


def run_solution(labels, count):
    """Count the run; emit when it reaches `count`, not after."""
    out, run = [], 0
    for place, label in enumerate(labels):
        run = run + 1 if place and label == labels[place - 1] else 1
        if run == count:
            out.append(label)
    return out


def run_test(answer: Callable) -> None:
    """Compare on streams in which a letter is held, repeated and grazed."""
    for labels in ("AAAB", "AAAAAA", "AABAA", "AAABBBAAA", "", "CATTTT"):
        for count in (3, 2, 1):
            gate = InARow(count)
            expected = [label for label in map(gate.push, labels) if label is not None]
            given = list(answer(list(labels), count))
            if given == expected:
                continue
            if len(given) > len(expected) and labels == "AAAAAA":
                raise NotYet(f"a held sign comes once, not {len(given)} times: emit when the run reaches {count}")
            raise NotYet(f"{labels!r} with {count} in a row should emit {expected}, not {given}")


def sizes_stub(percentage, most):
    """All sizes n up to `most` of which some count prints as this percentage, given as text such as "93.6"."""
    return []


def sizes_solution(percentage, most):
    """A size fits when the nearest count, divided by it, rounds to the same text."""
    digits = len(percentage.partition(".")[2])
    sizes = np.arange(1, most + 1)
    counts = np.round(float(percentage) / 100 * sizes)
    return [int(n) for n, k in zip(sizes, counts, strict=True) if f"{100 * k / n:.{digits}f}" == percentage]


def sizes_test(answer: Callable) -> None:
    """Compare on three percentages."""
    for percentage, most in (("50", 4), ("33.3", 12), ("93.6", 320)):
        expected, given = sizes_solution(percentage, most), answer(percentage, most)
        if given is None:
            raise NotYet("your function returned None; return a list of sizes")
        if list(given) == expected:
            continue
        if not len(given):
            raise NotYet(f"{percentage} % does fit some sizes up to {most}: {expected[0]} is the first")
        missing, extra = sorted(set(expected) - set(given)), sorted(set(given) - set(expected))
        what = f"{missing[0]} is missing" if missing else f"{extra[0]} does not print as {percentage} %"
        raise NotYet(f"for {percentage} % up to {most}: {what}")


exercises = [
    Exercise(
        title="The mask that lets a decoder stop",
        task="Write the mask of trained positions: all real tokens and the first pad after them.",
        difficulty=1,
        minutes=10,
        hint="A position counts when its own token is real or the one before it is. What lies before the first?",
        stub=mask_stub,
        solution=mask_solution,
        test=mask_test,
    ),
    Exercise(
        title="Three in a row",
        task="Write the stability filter of the isolated path: a label comes out once, when it was first often enough.",
        difficulty=1,
        minutes=10,
        hint="Keep the length of the current run. The moment it equals the count is the only moment to emit.",
        stub=run_stub,
        solution=run_solution,
        test=run_test,
    ),
    Exercise(
        title="Which sizes print 93.6 %?",
        task="List the numbers of clips of which some number of right ones prints as a given percentage.",
        difficulty=2,
        minutes=15,
        hint="For each size only the nearest whole count can fit. Print it with as many decimals and compare the text.",
        stub=sizes_stub,
        solution=sizes_solution,
        test=sizes_test,
    ),
]
