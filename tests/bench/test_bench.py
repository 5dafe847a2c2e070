"""The bench itself: one thread or nothing, a missed bar is a failure, and unlike functions are not compared."""

from __future__ import annotations

import math
import types

import pytest
import torch

from tests.bench import __main__ as bench
from tests.bench import measure
from tests.bench.measure import Row


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_two_threads_are_refused(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.raises(RuntimeError, match="torch runs 2 threads; a ratio is fair with one only"):
        measure.interleaved({"nothing": lambda: None})


def test_the_runner_sets_one_thread_and_prints_the_limits_first(monkeypatch, capsys, one_thread):
    seen = []

    def rows():
        seen.append(torch.get_num_threads())
        yield Row("G1", "a ratio", 4.0, bar=3.5, share=0.5)

    monkeypatch.setattr(bench, "limits", lambda: "the limits")
    monkeypatch.setattr(bench.importlib, "import_module", lambda name: types.SimpleNamespace(rows=rows))
    torch.set_num_threads(2)
    assert bench.main(["--only", "g1"]) == 0
    assert seen == [1]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "the limits"
    assert said[1].split()[-4:] == ["50%", "of", "the", "limit"]
    assert said[-1] == "0 of 1 rows below their bar"


def test_a_missed_bar_ends_with_1_and_a_wrong_group_with_2(monkeypatch, capsys):
    monkeypatch.setattr(bench, "limits", lambda: "")
    missed = types.SimpleNamespace(rows=lambda: [Row("G1", "a ratio", 3.4, bar=3.5)])
    monkeypatch.setattr(bench.importlib, "import_module", lambda name: missed)
    assert bench.main(["--only", "G1"]) == 1
    assert "below" in capsys.readouterr().out
    assert bench.main(["--only", "G99"]) == 2
    assert capsys.readouterr().err.startswith("error: no group G99; there are G1, G2, G3, G4, G5")


@pytest.mark.parametrize(
    ("row", "below"),
    [
        (Row("G", "more is better", 3.5, bar=3.5), False),
        (Row("G", "more is better", 3.4, bar=3.5), True),
        (Row("G", "less is better", 4.4, bar=4.4, at_least=False), False),
        (Row("G", "less is better", 4.5, bar=4.4, at_least=False), True),
        (Row("G", "not a number", math.nan, bar=1.0), True),
        (Row("G", "not a number", math.nan, bar=1.0, at_least=False), True),
        (Row("G", "nothing to time it on", untimed="no GPU"), False),
    ],
    ids=lambda x: x.what if isinstance(x, Row) else str(x),
)
def test_what_counts_as_below(row, below):
    assert row.below is below


def test_an_untimed_row_says_why():
    assert str(Row("G5", "Triton kernels", untimed="no GPU")).endswith("untimed: no GPU")


def test_functions_that_differ_are_not_timed():
    measure.must_agree(torch.ones(3) + 1e-7, torch.ones(3), 1e-6, "near")
    with pytest.raises(AssertionError, match="far: outputs differ by"):
        measure.must_agree(torch.ones(3) + 1e-3, torch.ones(3), 1e-6, "far")
    with pytest.raises(AssertionError, match="nan: outputs differ by nan"):
        measure.must_agree(torch.full((3,), math.nan), torch.ones(3), 1e-6, "nan")


def test_times_are_medians_of_turns_taken_in_order(monkeypatch, one_thread):
    order, clock = [], iter([0.0, 0.0, 1.0, 0.0, 3.0, 0.0, 2.0])
    monkeypatch.setattr(measure.time, "process_time", lambda: next(clock))
    found = measure.interleaved({"a": lambda: order.append("a")}, repeats=3)
    assert order == ["a"] * 4
    assert found == {"a": 2.0}
