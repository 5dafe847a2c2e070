"""Stages on threads and on the virtual clock: the same outputs, stated drops, no hang."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import BookError
from lib.runtime import Pipeline, Stage, replay
from lib.runtime.pipeline import BoundedQueue


def pairs():
    """A stage function that keeps state: every second item comes out with the one before it."""
    held = []

    def work(item):
        held.append(item)
        return [tuple(held[-2:])] if len(held) % 2 == 0 else []

    return work, lambda: [("rest", len(held))]


def two_stages(policy="block", cost=lambda item: 1.0, capacity=3):
    work, finish = pairs()
    return [
        Stage("double", lambda item: [2 * item], capacity, policy, cost=cost),
        Stage("pair", work, capacity, policy, finish=finish, cost=lambda item: 0.0),
    ]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 40), st.integers(1, 5))
def test_threads_and_replay_agree_when_nobody_drops(items, capacity):
    threaded = Pipeline(two_stages(capacity=capacity)).run(range(items))
    replayed = replay(two_stages(capacity=capacity), range(items))
    assert threaded.outputs == replayed.outputs
    assert replayed.outputs[-1] == ("rest", items)
    assert set(threaded.dropped.values()) == {0} == set(replayed.dropped.values())


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 60),
    st.lists(st.floats(0, 4), min_size=3, max_size=3),
    st.lists(st.integers(1, 4), min_size=3, max_size=3),
    st.lists(st.sampled_from(["block", "drop_oldest", "drop_newest"]), min_size=3, max_size=3),
)
def test_every_item_is_an_output_or_a_drop_and_order_is_kept(items, costs, capacities, policies):
    stages = [
        Stage(f"s{place}", lambda item: [item], capacity, policy, cost=lambda item, cost=cost: cost)
        for place, (cost, capacity, policy) in enumerate(zip(costs, capacities, policies, strict=True))
    ]
    report = replay(stages, range(items))
    assert len(report.outputs) + sum(report.dropped.values()) == items
    assert report.outputs == sorted(report.outputs)
    assert all(report.deepest[stage.name] <= stage.capacity for stage in stages)
    assert all(latency >= 0 for latency in report.latencies)
    if set(policies) == {"block"}:
        assert report.outputs == list(range(items))


def test_drop_policies_keep_the_newest_or_the_oldest():
    def outputs(policy):
        return replay([Stage("slow", lambda item: [item], 2, policy, cost=lambda item: 100.0)], range(10))

    newest, oldest, blocked = outputs("drop_newest"), outputs("drop_oldest"), outputs("block")
    assert (newest.outputs, newest.dropped) == ([0, 1, 2], {"slow": 7})
    assert (oldest.outputs, oldest.dropped) == ([0, 8, 9], {"slow": 7})
    assert (blocked.outputs, blocked.dropped, blocked.waited) == (list(range(10)), {"slow": 0}, 7)


def test_latency_is_bounded_by_dropping_and_grows_by_waiting():
    def late(policy):
        return replay([Stage("slow", lambda item: [item], 2, policy, cost=lambda item: 2.0)], range(100)).latencies

    assert max(late("drop_oldest")) <= 6
    assert late("block") == [item + 2.0 for item in range(100)]


def test_back_pressure_reaches_the_source_through_a_fast_stage():
    stages = [
        Stage("fast", lambda item: [item], 1, cost=lambda item: 0.0),
        Stage("slow", lambda item: [item], 1, cost=lambda item: 5.0),
    ]
    report = replay(stages, range(12))
    assert report.waited > 5
    assert report.outputs == list(range(12))


@pytest.mark.parametrize("place", ["source", "double", "pair", "finish"])
def test_a_crash_anywhere_is_reported_by_name_and_never_hangs(place):
    def source():
        yield from range(50)
        if place == "source":
            raise RuntimeError("no camera")
        yield from range(1000)

    def crash(item=None):
        raise RuntimeError("no camera")

    first = Stage("double", crash if place == "double" else lambda item: [item], 1)
    second = Stage("pair", crash if place == "pair" else lambda item: [item], 1)
    third = Stage("finish", lambda item: [item], 1, finish=crash if place == "finish" else lambda: ())
    before = threading.active_count()
    with pytest.raises(BookError, match=f"stage '{place}' failed: RuntimeError: no camera"):
        Pipeline([first, second, third]).run(source())
    assert threading.active_count() == before


def test_stop_ends_an_endless_source_and_what_is_in_flight_comes_out():
    def forever():
        item = 0
        while True:
            yield item
            item += 1

    seen = []
    pipeline = Pipeline([Stage("count", lambda item: seen.append(item) or [item])])

    def work(item):
        seen.append(item)
        if item == 20:
            pipeline.stop()
        return [item]

    pipeline.stages = (Stage("count", work),)
    outputs = pipeline.run(forever()).outputs
    assert outputs == seen == list(range(len(outputs)))
    assert len(outputs) >= 21
    assert pipeline.run(range(5)).outputs == list(range(5))


def test_a_full_queue_drops_as_stated_under_threads():
    queue = BoundedQueue(Stage("slow", lambda item: [item], 2, "drop_oldest"))
    for item in range(5):
        queue.put(item)
    assert (queue.get(), queue.get(), queue.dropped, queue.deepest) == (3, 4, 3, 2)


def test_stages_that_cannot_be_are_refused():
    with pytest.raises(BookError, match="capacity of stage 'a' is 0"):
        Stage("a", list, 0)
    with pytest.raises(BookError, match="policy of stage 'a' is 'drop'"):
        Stage("a", list, policy="drop")
    with pytest.raises(BookError, match="name of its own"):
        Pipeline([Stage("a", list), Stage("a", list)])
    with pytest.raises(BookError, match="at least one"):
        replay([], [])
