"""Exercises of chapter 07: the delay pattern, the length at which recurrence pays, parallel fifths.

`exercises` lists them (lib/press/exercises.py says what an exercise is).
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from lib.analysis import mixer_cost
from lib.analysis.voice_leading import FIFTH, is_parallel
from lib.models import HybridConfig
from lib.press.exercises import Exercise, NotYet
from lib.trainers import apply_delay


def delay_stub(rows, pad):
    """The delayed rows of equally long lists of tokens: row k waits k steps; pad fills both ends."""
    return []


def delay_solution(rows, pad):
    """k pads before row k, and as many after as the last row has more before."""
    last = len(rows) - 1
    return [[pad] * k + list(row) + [pad] * (last - k) for k, row in enumerate(rows)]


def delay_test(answer: Callable) -> None:
    """Compare with the pattern that the training uses."""
    rng = np.random.default_rng(0)
    for voices, steps in ((4, 5), (1, 3), (9, 2), (3, 1)):
        rows = rng.integers(0, 9, (voices, steps)).tolist()
        given, wanted = answer(rows, 99), apply_delay(torch.tensor(rows), 99).tolist()
        if given is None:
            raise NotYet("your function returned None; return the list of delayed rows")
        given = [list(row) for row in given]
        if given == wanted:
            continue
        if len(given) != voices:
            raise NotYet(f"{voices} rows went in and {len(given)} came out; every row keeps its place")
        if given == apply_delay(torch.tensor(rows[::-1]), 99).tolist()[::-1] and voices > 1:
            raise NotYet("the first row waits longest; row 0 must not wait at all")
        lengths = {len(row) for row in given}
        if lengths != {steps + voices - 1}:
            raise NotYet(f"rows of {steps} steps in {voices} voices become {steps + voices - 1} steps, not {lengths}")
        raise NotYet(f"for {rows} the delayed rows are {wanted}, not {given}")


def crossover_stub(width, kv_width, heads):
    """The length from which a gated delta layer costs less than attention, in multiply-adds a position.

    Attention: 2 d (d + d_kv) + (T + 1) d. Recurrence: 4 d^2 + 2 d H + 4 d D with D = d / H.
    """
    return 0


def crossover_solution(width, kv_width, heads):
    """Solve for T: the maps differ by 2 d (d - d_kv), the gates and the state add 2 d H + 4 d D."""
    return max(1, 2 * (width - kv_width) + 2 * heads + 4 * (width // heads))


def crossover_test(answer: Callable) -> None:
    """Compare with the counts of the chapter at several shapes."""
    shapes = ((1024, 16, 4), (384, 6, 2), (512, 8, 8), (96, 4, 2))
    for width, heads, shared in shapes:
        config = replace(HybridConfig.music_300m(), width=width, heads=heads, kv_heads=shared)
        kv_width = shared * config.head_size
        wanted, given = mixer_cost.crossover(config), answer(width, kv_width, heads)
        if given is None or np.ndim(given) != 0:
            raise NotYet(f"your function returned {given!r}; return one length")
        if abs(given - wanted) <= 1:
            continue
        if abs(2 * given - wanted) <= 2:
            raise NotYet("that is half: attention reads T d a position here, keys and values together")
        if abs(given - (wanted - 4 * config.head_size)) <= 1:
            raise NotYet("the state is missing: it is read twice and written twice, 4 d D in all")
        raise NotYet(f"for d={width}, d_kv={kv_width}, H={heads} the lines cross at {wanted}, not at {given}")


def fifths_stub(before, after):
    """Whether two voices, (upper, lower) MIDI pitches before and after, move in parallel fifths."""
    return False


def fifths_solution(before, after):
    """Both intervals are fifths, octaves aside, and both voices move the same way."""
    moves = [new - old for old, new in zip(before, after, strict=True)]
    return moves[0] * moves[1] > 0 and all((pair[0] - pair[1]) % 12 == 7 for pair in (before, after))


def fifths_test(answer: Callable) -> None:
    """Compare on cases in which one condition each is not met."""
    cases = [
        ((67, 60), (69, 62), "a fifth moves up a step to a fifth: parallel"),
        ((67, 60), (67, 60), "nothing moves: a held fifth is no parallel"),
        ((67, 60), (69, 60), "only one voice moves"),
        ((67, 60), (65, 60 - 2), "both move down by a step: parallel too"),
        ((79, 60), (81, 62), "a fifth and an octave more is a fifth all the same"),
        ((67, 60), (72, 53), "the voices move against each other"),
        ((67, 60), (71, 62), "the second interval is a sixth"),
        ((72, 60), (74, 62), "these are octaves, not fifths"),
    ]
    for before, after, said in cases:
        given = answer(before, after)
        if given is None:
            raise NotYet("your function returned None; return True or False")
        if bool(given) != is_parallel(before, after, FIFTH):
            raise NotYet(f"from {before} to {after}: {said}")


exercises = [
    Exercise(
        title="The staircase",
        task="Write the delay pattern, from rows of tokens to delayed rows.",
        difficulty=1,
        minutes=10,
        hint="Row k has k pads in front. All rows must come out equally long.",
        stub=delay_stub,
        solution=delay_solution,
        test=delay_test,
    ),
    Exercise(
        title="Where recurrence begins to pay",
        task="Write the length at which a gated delta layer becomes cheaper than a layer of attention.",
        difficulty=2,
        minutes=15,
        hint="Set the two costs equal. Everything divides by d.",
        stub=crossover_stub,
        solution=crossover_solution,
        test=crossover_test,
    ),
    Exercise(
        title="Parallel fifths",
        task="Write the rule that every harmony class begins with.",
        difficulty=1,
        minutes=10,
        hint="Seven semitones, octaves aside, before and after; and both voices move, in one direction.",
        stub=fifths_stub,
        solution=fifths_solution,
        test=fifths_test,
    ),
]
