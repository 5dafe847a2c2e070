"""Windows, segments, smoothing and dispatch, each against a plain form of itself."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import BookError
from lib.runtime import Dispatcher, InARow, IsolatedStream, LocalAgreement, Segmenter, SlidingWindow, TopOne, cuts
from lib.runtime.dispatch import by_length, dispatched
from lib.runtime.segments import END

LABELS = st.lists(st.integers(0, 3), max_size=30)


def one_hot(label, sure=0.9, size=4):
    row = np.full(size, (1 - sure) / (size - 1))
    row[label] = sure
    return row


def clip(time):
    return np.arange(2 * time, dtype=float).reshape(time, 2)


@given(st.integers(1, 20), st.integers(1, 6), st.integers(1, 4))
def test_windows_one_by_one_are_the_windows_of_the_clip(time, size, stride):
    window = SlidingWindow(size, stride)
    live = [found for frame in clip(time) if (found := window.push(frame)) is not None]
    whole = cuts(clip(time), size, stride)
    if time < size:
        assert live == []
        np.testing.assert_array_equal(whole[0, time:], np.repeat(clip(time)[-1:], size - time, axis=0))
    else:
        np.testing.assert_array_equal(np.stack(live), whole)
        assert len(whole) == (time - size) // stride + 1


@given(LABELS, st.integers(1, 7))
def test_a_vote_is_the_commonest_label_and_the_later_of_equals(labels, size):
    smoother = TopOne(size)
    for place, label in enumerate(labels):
        recent = labels[max(0, place + 1 - size) : place + 1]
        found, confidence = smoother.push(one_hot(label))
        counts = Counter(recent)
        ties = [other for other in counts if counts[other] == max(counts.values())]
        assert found == max(ties, key=lambda other: len(recent) - 1 - recent[::-1].index(other))
        assert confidence == counts[found] / len(recent)


def test_a_mean_listens_to_certainty_where_a_vote_counts_heads():
    rows = [one_hot(1, 0.97), one_hot(2, 0.4), one_hot(2, 0.4)]
    vote, mean = TopOne(5, "vote"), TopOne(5, "mean")
    assert [vote.push(row)[0] for row in rows][-1] == 2
    assert [mean.push(row)[0] for row in rows][-1] == 1
    assert mean.push(rows[0])[1] == pytest.approx(np.mean([*rows, rows[0]], axis=0).max())


@given(LABELS, st.integers(1, 4))
def test_a_run_is_emitted_once_when_it_is_long_enough(labels, count):
    gate = InARow(count)
    out = [label for label in map(gate.push, labels) if label is not None]
    runs, expected = [], []
    for label in labels:
        if runs and runs[-1][0] == label:
            runs[-1][1] += 1
        else:
            runs.append([label, 1])
    expected = [label for label, length in runs if length >= count]
    assert out == expected


def test_none_breaks_a_run():
    gate = InARow(2)
    assert [gate.push(label) for label in (1, None, 1, 1, 1, None, None, 1, 1)] == [
        None, None, None, 1, None, None, None, None, 1,
    ]  # fmt: skip


@given(st.lists(LABELS, min_size=1, max_size=8), st.integers(1, 3))
def test_agreement_takes_nothing_back_and_emits_what_was_agreed(hypotheses, count):
    smoother, out = LocalAgreement(count), []
    for place, hypothesis in enumerate(hypotheses):
        fresh = smoother.push(hypothesis)
        if fresh:
            recent = hypotheses[place + 1 - count : place + 1]
            assert all(row[len(out) : len(out) + len(fresh)] == fresh for row in recent)
        out += fresh
    assert smoother.emitted == out
    last = smoother.finish(hypotheses[-1])
    assert out + last == smoother.emitted
    assert last == hypotheses[-1][len(out) :]


def test_agreement_waits_for_two_hypotheses():
    smoother = LocalAgreement(2)
    assert [smoother.push(row) for row in ([1], [1, 2], [1, 2, 3], [1, 2, 3, 4])] == [[], [1], [2], [3]]
    assert smoother.finish([1, 2, 3, 4, 5]) == [4, 5]


def test_segments_end_after_a_pause_or_at_the_longest_without_their_quiet_tail():
    present = [0, 0, 1, 1, 0, 1, 0, 0, 0, 0, 1, 0]
    segmenter, found, signing = Segmenter(idle=2, longest=100), [], []
    for frame, hand in zip(clip(12), present, strict=True):
        found.append(segmenter.push(frame, bool(hand)))
        signing.append(segmenter.signing)
    ended = [place for place, segment in enumerate(found) if segment is not None]
    assert ended == [7]
    np.testing.assert_array_equal(found[7], clip(12)[2:6])
    assert signing == [False, False, True, True, True, True, True, False, False, False, True, True]
    np.testing.assert_array_equal(segmenter.flush(), clip(12)[10:11])
    assert segmenter.flush() is None
    short = Segmenter(idle=5, longest=3)
    lengths = [None if (part := short.push(frame, True)) is None else len(part) for frame in clip(7)]
    assert lengths == [None, None, 3, None, None, 3, None]


def nearest(windows):
    """A classifier that knows the label: it is the first number of the last frame."""
    return np.stack([one_hot(int(window[-1, 0])) for window in windows])


def stream(labels):
    return np.array([[label, 0.0] for label in labels])


def test_the_isolated_path_reads_held_signs_and_not_short_ones():
    reader = IsolatedStream(nearest, size=3, smoothing=3, in_a_row=3)
    assert reader.read(stream([1] * 8 + [2] * 8 + [3] * 8)) == [1, 2, 3]
    assert reader.read(stream([1] * 8 + [2] + [3] * 8)) == [1, 3]
    assert reader.read(stream([1])) == []
    strict = IsolatedStream(nearest, size=3, smoothing=5, in_a_row=1, confidence=1.0)
    assert strict.read(stream([1, 2, 1, 2, 1, 2, 1, 2, 3, 3, 3, 3, 3])) == [1, 3]


def test_live_reading_is_the_reading_of_the_clip_and_ends_once():
    frames = stream([1] * 8 + [2] * 8)
    reader = IsolatedStream(nearest, size=4, stride=2, smoothing=3, in_a_row=2, idle=3)
    live = [token for frame in frames for token in reader.push(frame)]
    pause = [token for frame in frames[:10] for token in reader.push(frame, present=False)]
    assert pause == [END]
    assert live == IsolatedStream(nearest, size=4, stride=2, smoothing=3, in_a_row=2).read(frames) == [1, 2]
    assert [token for frame in frames for token in reader.push(frame)] == live


def test_the_threshold_of_the_post():
    assert [by_length(frames) for frames in (1, 15, 16, 100)] == ["isolated", "isolated", "sequence", "sequence"]
    reader = Dispatcher(isolated=lambda segment: [0], sequence=lambda segment: [9, 9])
    assert reader.read(clip(15)) == [0]
    assert reader.read(clip(16)) == [9, 9]
    assert Dispatcher(lambda s: [0], lambda s: [9], threshold=1).read(clip(1)) == [9]
    learned = Dispatcher(lambda s: [0], lambda s: [9], choose=lambda s: "sequence" if s[0, 0] > 1 else "isolated")
    assert (learned.read(clip(40)), learned.read(clip(40)[1:])) == ([0], [9])


def test_two_vocabularies_are_joined():
    reader = Dispatcher(lambda s: [0, 2], lambda s: [9], vocabulary={0: 3, 2: 5})
    assert reader.read(clip(3)) == [3, 5]
    with pytest.raises(BookError, match="label 2 of the isolated classifier has no token"):
        Dispatcher(lambda s: [2], lambda s: [9], vocabulary={0: 3}).read(clip(3))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(1, 40))
def test_a_sweep_gives_what_the_dispatcher_reads(lengths, threshold):
    isolated, sequence = [["i", n] for n in lengths], [["s", n] for n in lengths]
    reader = Dispatcher(lambda s: ["i", len(s)], lambda s: ["s", len(s)], threshold)
    expected = [reader.read(clip(n)) for n in lengths]
    assert dispatched(lengths, isolated, sequence, threshold) == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SlidingWindow(0), "size is 0"),
        (lambda: cuts(clip(3)[:0], 2), "frames 0"),
        (lambda: TopOne(0), "window is 0"),
        (lambda: TopOne(5, "median"), "kind is 'median'"),
        (lambda: InARow(0), "count is 0"),
        (lambda: LocalAgreement(0), "count is 0"),
        (lambda: Segmenter(0), "idle is 0"),
        (lambda: IsolatedStream(nearest, 3, confidence=2), "confidence is 2"),
        (lambda: by_length(0), "a segment has 0 frames"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(BookError, match=message):
        make()
