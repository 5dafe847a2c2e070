"""The stages of the post joined, and the dispatcher that learns."""

from __future__ import annotations

import numpy as np
import pytest

from lib.errors import BookError
from lib.runtime import Dispatcher, Pipeline, learned_dispatch, replay, signing_line

WIDTH = 70


def clip(label, frames):
    """Frames that say their label in the first number and are seen."""
    out = np.zeros((frames, WIDTH), dtype=np.float32)
    out[:, 0], out[:, signing_line.PRESENT] = label, 1
    return out


def line(**options):
    first = lambda segment: [int(segment[0, 0])]  # noqa: E731
    hybrid = Dispatcher(first, lambda segment: [*first(segment), len(segment)], threshold=6)
    return signing_line.stages(hybrid.read, lambda tokens: "-".join(map(str, tokens)), idle=3, **options)


def test_segments_are_cut_read_and_spelled_and_threads_agree():
    frames = list(signing_line.stream([clip(1, 4), clip(2, 9), clip(3, 5)], quiet=4))
    assert len(frames) == 18 + 3 * 4
    found = replay(line(), frames)
    assert found.outputs == ["1", "2-9", "3"] == Pipeline(line()).run(frames).outputs
    again = replay(line(), frames)
    assert again.latencies == found.latencies
    assert again.outputs == found.outputs


def test_what_is_open_at_the_end_comes_out():
    assert replay(line(), list(clip(7, 5))).outputs == ["7"]


def test_an_overloaded_reader_waits_or_drops_as_told():
    frames = list(signing_line.stream([clip(place, 8) for place in range(12)], quiet=3))
    waits = replay(line(ticks_a_frame=4.0), frames)
    drops = replay(line(ticks_a_frame=4.0, policy="drop_oldest", capacity=1), frames)
    assert len(waits.outputs) == 12
    assert not sum(waits.dropped.values())
    assert drops.dropped["reader"] > 0
    assert len(drops.outputs) == 12 - drops.dropped["reader"]
    assert max(drops.latencies) < max(waits.latencies)


def wave(frames, bursts):
    """A still hand that jumps `bursts` times."""
    out = np.zeros((frames, 4))
    for place in np.linspace(0, frames - 1, bursts + 2)[1:-1].astype(int):
        out[place:, 0] += 1
    return out


@pytest.mark.parametrize("bursts", [1, 2, 3])
def test_bursts_are_counted(bursts):
    found = learned_dispatch.features(wave(24, bursts))
    assert found[0] == 24
    assert found[1] == pytest.approx(bursts)
    assert found[4] == bursts


def test_it_learns_which_recogniser_was_right_from_movement_where_length_says_nothing():
    rng = np.random.default_rng(0)
    segments = [wave(int(rng.integers(20, 26)), 1 + place % 2 * 3) for place in range(60)]
    sequence = [bool(place % 2) for place in range(60)]
    choose = learned_dispatch.fit(segments, [not right for right in sequence], sequence)
    fresh = [wave(int(rng.integers(20, 26)), 1 + place % 2 * 3) for place in range(20)]
    assert [choose(segment) for segment in fresh] == ["isolated", "sequence"] * 10
    hybrid = Dispatcher(lambda s: [1], lambda s: [2], choose=choose)
    assert hybrid.read(fresh[0]) == [1]
    assert hybrid.read(fresh[1]) == [2]


def test_one_sided_and_undecided_lessons():
    segments = [wave(10, 1), wave(12, 2)]
    assert learned_dispatch.fit(segments, [True, True], [False, False])(segments[1]) == "isolated"
    with pytest.raises(BookError, match="none of 2 segments"):
        learned_dispatch.fit(segments, [True, False], [True, False])
    with pytest.raises(BookError, match="at least one frame"):
        learned_dispatch.features(np.zeros((0, 3)))
