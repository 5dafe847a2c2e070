"""The delay pattern: exact round trip, the staircase, nothing lost and nothing added."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import BookError
from lib.trainers import apply_delay, undo_delay
from lib.trainers.delay import staircase

shapes = st.tuples(st.integers(1, 9), st.integers(1, 40))


def codes_of(codebooks: int, frames: int, *batch: int) -> torch.Tensor:
    """Codes that are all different."""
    count = codebooks * frames
    for size in batch:
        count *= size
    return torch.arange(count).view(*batch, codebooks, frames)


@given(shapes, st.booleans())
def test_round_trip(shape, batched):
    codes = codes_of(*shape, *([3] if batched else []))
    delayed = apply_delay(codes, pad=-1)
    assert delayed.shape[-1] == shape[1] + shape[0] - 1
    assert torch.equal(undo_delay(delayed), codes)


@given(shapes)
def test_codes_lie_on_the_staircase_and_pad_elsewhere(shape):
    delayed = apply_delay(codes_of(*shape), pad=-1)
    assert torch.equal(delayed != -1, staircase(*shape))
    assert (delayed == -1).sum() == shape[0] * (shape[0] - 1)


@given(shapes)
def test_row_k_starts_with_k_pads(shape):
    delayed = apply_delay(codes_of(*shape), pad=-1)
    for k, row in enumerate(delayed):
        assert torch.equal(row[k : k + shape[1]], codes_of(*shape)[k])


@given(shapes, st.data())
def test_step_t_holds_no_frame_after_t(shape, data):
    """Causality: a change of frame f shows at step f at the earliest."""
    frame = data.draw(st.integers(0, shape[1] - 1))
    codes = codes_of(*shape)
    changed = codes.clone()
    changed[:, frame] += 1000
    differs = (apply_delay(codes, -1) != apply_delay(changed, -1)).any(0).nonzero()[:, 0]
    assert differs.tolist() == list(range(frame, frame + shape[0]))


def test_the_drawing_of_the_docstring():
    delayed = apply_delay(torch.tensor([[0, 1, 2, 3], [10, 11, 12, 13], [20, 21, 22, 23]]), pad=-1)
    assert delayed.tolist() == [[0, 1, 2, 3, -1, -1], [-1, 10, 11, 12, 13, -1], [-1, -1, 20, 21, 22, 23]]


def test_the_post_s_chunk():
    """600 frames of 8 codebooks are 607 steps; padded to 1,024, 41.4 % of the entries hold no code."""
    kept = staircase(8, 600)
    assert kept.shape == (8, 607)
    assert round(1 - int(kept.sum()) / (8 * 1024), 3) == 0.414


@pytest.mark.parametrize(
    ("call", "message"),
    [
        pytest.param(lambda: apply_delay(torch.zeros(2, 0, dtype=torch.long), 5), r"\[2, 0\]", id="no frame"),
        pytest.param(lambda: apply_delay(torch.tensor([[1, 5]]), 5), "hold 5", id="pad among the codes"),
        pytest.param(lambda: undo_delay(torch.zeros(4, 3)), "3 delayed steps of 4", id="too few steps"),
    ],
)
def test_refused(call, message):
    with pytest.raises(BookError, match=message):
        call()
