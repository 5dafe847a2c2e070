"""Exercises of chapter 09: the delay pattern, the share of fast modulation, the step at which a measure turns.

`exercises` lists them (lib/press/exercises.py says what an exercise is).
"""

from collections.abc import Callable

import numpy as np
import torch

from lib.press.exercises import Exercise, NotYet
from lib.trainers import apply_delay


def delayed_stub(codes, pad):
    """The delay pattern of codes [K, T], an integer array: [K, T + K - 1] with `pad` outside the staircase."""
    return codes


def delayed_solution(codes, pad):
    """Row k begins k steps later."""
    books, frames = codes.shape
    out = np.full((books, frames + books - 1), pad)
    for k in range(books):
        out[k, k : k + frames] = codes[k]
    return out


def delayed_test(answer: Callable) -> None:
    """Compare with the trainer's pattern."""
    for shape in ((3, 4), (8, 5), (1, 6)):
        codes = np.arange(np.prod(shape)).reshape(shape)
        given = answer(codes.copy(), 999)
        right = apply_delay(torch.as_tensor(codes), 999).numpy()
        if given is None or np.shape(given) != right.shape:
            had = None if given is None else list(np.shape(given))
            raise NotYet(
                f"the delayed codes of {list(shape)} have shape {list(right.shape)}, not {had}: T + K - 1 steps"
            )
        given = np.asarray(given)
        if (given == right).all():
            continue
        if (given == right[::-1]).all() or (given[0] != right[0]).any():
            raise NotYet("the first codebook is not delayed; each further one begins one step later")
        if (given == 999).sum() != (right == 999).sum():
            raise NotYet("each row holds all of its codes once, and pad elsewhere")
        raise NotYet(f"codebook 1 should read {right[1].tolist()}, not {given[1].tolist()}")


def share_stub(level, rate):
    """The share of the power of `level` (an array, `rate` values a second) at 12 to 37.5 Hz, of all above 1 Hz."""
    return 1.0


def share_solution(level, rate):
    """Mean off, Hann window, power, two sums."""
    level = level - level.mean()
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(len(level)) / len(level))
    power = np.abs(np.fft.rfft(level * window)) ** 2
    hertz = np.fft.rfftfreq(len(level), 1 / rate)
    return float(power[(hertz >= 12) & (hertz <= 37.5)].sum() / power[hertz >= 1].sum())


def share_test(answer: Callable) -> None:
    """Try levels whose share is known."""
    time = np.arange(300) / 75
    cases = [
        (np.sin(2 * np.pi * 4 * time), 0.0, "a level that moves 4 times a second has no fast modulation"),
        (np.sin(2 * np.pi * 20 * time), 1.0, "one that moves 20 times a second has nothing else"),
        (np.sin(2 * np.pi * 4 * time) + np.sin(2 * np.pi * 20 * time), 0.5, "equal parts of both: a half"),
        (7 + np.sin(2 * np.pi * 20 * time), 1.0, "a constant is no modulation: take the mean off"),
        (np.sin(2 * np.pi * 4.1 * time), 0.0, "a rate between two bins leaks: taper with a Hann window"),
        (4 * np.sin(2 * np.pi * 0.5 * time) + np.sin(2 * np.pi * 20 * time), 0.9, "start at 1 Hz"),
    ]
    for level, worth, said in cases:
        given = answer(level.copy(), 75.0)
        if given is None or np.ndim(given) != 0:
            raise NotYet(f"your function returned {given!r}; return one number")
        if abs(given - worth) > 0.11:
            raise NotYet(f"{said}. Yours gives {given:.2f}")
    if abs(answer(np.sin(2 * np.pi * 4.1 * time), 75.0)) > 1e-3:
        raise NotYet("a rate between two bins leaks: taper with a Hann window before the transform")


def first_stub(steps, values, speech, nulls):
    """The first step whose value is nearer to `speech` than to every one of `nulls`; None when there is none."""
    return steps[0]


def first_solution(steps, values, speech, nulls):
    """Compare distances, in order."""
    for step, value in zip(steps, values, strict=True):
        if abs(value - speech) < min(abs(value - null) for null in nulls):
            return step
    return None


def first_test(answer: Callable) -> None:
    """Levels on either side of speech, ties, and never."""
    cases = [
        (([10, 20, 30], [0.5, 0.3, 0.1], 0.05, [0.4, 0.6]), 30, "0.3 is nearer to the null at 0.4"),
        (([10, 20, 30], [0.1, 0.5, 0.9], 0.5, [0.0, 1.0]), 20, "nulls may lie on both sides of speech"),
        (([10, 20], [0.9, 0.8], 0.1, [0.9]), None, "when no step is near enough, return None"),
        (([5, 6], [0.5, 0.6], 1.0, [0.0]), 6, "a tie is not nearer"),
        (([1, 2, 3], [0.0, 0.9, 0.2], 1.0, [0.0]), 2, "the first such step counts, even if a later one falls back"),
    ]
    for arguments, worth, said in cases:
        given = answer(*arguments)
        if given != worth:
            raise NotYet(f"{said}: the answer is {worth}, yours {given}")


exercises = [
    Exercise(
        title="The staircase",
        task="Write the delay pattern: codebook k begins k steps late, so that one step predicts all codebooks.",
        difficulty=1,
        minutes=10,
        hint="Make an array full of pad and copy each row to its place.",
        stub=delayed_stub,
        solution=delayed_solution,
        test=delayed_test,
    ),
    Exercise(
        title="Faster than a mouth",
        task="Write the share of a level's modulation above 12 Hz. Which of your own recordings has the largest?",
        difficulty=2,
        minutes=20,
        hint="numpy's rfft and rfftfreq; take the mean off and multiply by a Hann window first.",
        stub=share_stub,
        solution=share_solution,
        test=share_test,
    ),
    Exercise(
        title="The day of emergence",
        task="Find the first step at which a measure is nearer to speech than to any null. What does the answer owe "
        "to the choice of nulls?",
        difficulty=1,
        minutes=10,
        hint="Distances, not thresholds: nulls may lie on either side.",
        stub=first_stub,
        solution=first_solution,
        test=first_test,
    ),
]
