"""Small parts of the press: parameters, results, figures, files, command line, spread."""

import io
import platform

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from lib.errors import BookError
from lib.press import arithmetic, current, figures, ledger, parameters, results, run, spread
from lib.press.__main__ import main
from lib.press.canonical import merged
from lib.press.files import write_whole


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1, int, True),
        (True, int, False),
        (1.5, int, False),
        (1, float, True),
        ("1", float, False),
        (["a"], list[str], True),
        (["a", 1], list[str], False),
        ("a", list[str], False),
        (None, int | None, True),
        ("x", int | None, False),
        ({"a": 1}, dict[str, int], True),
        ({"a": "b"}, dict[str, int], False),
        (False, bool, True),
        (0, bool, False),
    ],
)
def test_types(value, kind, expected):
    assert parameters.fits(value, kind) is expected


def test_the_guard_line_names_what_is_wrong(tiny):
    declared = {"profile": str, "seed": int}
    good = {"__annotations__": declared, "profile": "teach", "seed": 3}
    run.check_parameters("01", good)
    assert current.get().parameters == {"profile": "teach", "seed": 3}
    for bad, named in [
        ({"seed": "3"}, "'seed' of chapter 01 is '3'"),
        ({"profile": "large"}, "profile 'large'"),
        ({"In": ["# Parameters\nsede = 3\n"], "sede": 3}, "no parameter 'sede'; did you mean 'seed'"),
    ]:
        with pytest.raises(BookError, match=named):
            run.check_parameters("01", good | bad)


def test_values_for_refuses_before_anything_runs(tiny):
    assert run.values_for(tiny, "smoke")["count"] == 5
    with pytest.raises(BookError, match="cuont"):
        run.values_for(tiny, "teach", {"cuont": 3})


def _begin(chapter):
    run.check_parameters("01", {"__annotations__": {"profile": str}, "profile": "smoke"})


def test_records_are_refused_by_name(tiny):
    _begin(tiny)
    ledger.record("a", np.float64(1.23456789012), setting="post", interval=(1, 2))
    assert current.get().values["a"] == {"value": 1.2345679, "setting": "post", "interval": [1, 2]}
    for arguments, named in [
        (("a", 1, "post"), "recorded twice"),
        (("b", float("nan"), "post"), "b is nan"),
        (("b", [1.0, float("inf")], "post"), r"b\[1\] is inf"),
        (("b", object(), "post"), "a object"),
        (("b", 1, "somewhere"), "setting 'somewhere'"),
    ]:
        with pytest.raises(BookError, match=named):
            ledger.record(arguments[0], arguments[1], setting=arguments[2])
    with pytest.raises(BookError, match="outside its interval"):
        ledger.record("c", 5, setting="post", interval=(1, 2))


def test_reported_numbers_are_read_by_claim(tiny):
    _begin(tiny)
    assert ledger.reported("tiny.twice") == 42
    with pytest.raises(BookError, match=r"no claim 'tiny\.twcie'; near it: tiny\.twice"):
        ledger.reported("tiny.twcie")


def test_a_run_that_recorded_nothing_writes_nothing(tiny):
    _begin(tiny)
    with pytest.raises(BookError, match="recorded nothing"):
        run.finish()
    assert not list(tiny.book.runs.glob("*")) if tiny.book.runs.exists() else True


def test_reading_undeclared_data_is_refused(tiny, monkeypatch):
    import types

    _begin(tiny)
    ledger.record("a", 1, setting="post")
    fake = types.SimpleNamespace(used=lambda: {"table", "data/bundled/table.csv", "secret"})
    monkeypatch.setitem(__import__("sys").modules, "lib.datasets.registry", fake)
    with pytest.raises(BookError, match="reads 'secret'"):
        run.finish()


def _plot(ys):
    fig, axes = plt.subplots()
    axes.plot(ys, label="line")
    axes.scatter([1, 2], [3, 4], label="points")
    axes.bar([0, 1], [5, 6], label="bars")
    axes.imshow([[0.0, 1.0], [2.0, 3.0]])
    return fig


def test_every_kind_of_series_is_kept():
    fig = _plot([1, 2, 3])
    found = figures.series(fig)
    plt.close(fig)
    assert {name: len(xs) for name, xs in found.items()} == {"line": 6, "points": 4, "bars": 8, "image 1": 4}


@pytest.mark.parametrize("moved", [0, 57, 199])
def test_one_point_moved_by_a_fortieth_is_caught(moved):
    ys = np.sin(np.linspace(0, 9, 200)) + 2
    other = ys.copy()
    other[moved] *= 1.025
    a, b = ({"series": {"f": figures.summary(list(xs), "f")}} for xs in (ys, other))
    assert results.differences(a, a, {}, spread.FLOOR) == []
    assert results.differences(a, b, {}, spread.FLOOR)


def test_show_needs_words_and_data(tiny, capsys):
    _begin(tiny)
    with pytest.raises(BookError, match="too short"):
        figures.show(_plot([1, 2]), alt="A plot")
    fig, _ = plt.subplots()
    with pytest.raises(BookError, match="draws no data"):
        figures.show(fig, alt="An empty frame with nothing drawn in it.")
    figures.show(_plot([1, 2]), alt="A line that rises from one to two.", name="rise")
    assert "Series: line (4), points (4)" in capsys.readouterr().out
    with pytest.raises(BookError, match="shown already"):
        figures.show(_plot([1, 2]), alt="A line that rises from one to two.", name="rise")
    plt.close("all")


def test_pictures_are_the_same_bytes_twice():
    first, second = (figures.png(_plot([1, 2, 3])) for _ in range(2))
    plt.close("all")
    assert first == second


def test_a_picture_has_its_own_palette_and_shows_the_same():
    chart = _plot([1, 2, 3])
    light = Image.open(io.BytesIO(figures.png(chart)))
    assert light.mode == "P"
    full = io.BytesIO()
    chart.savefig(full, format="png", dpi=100, facecolor="white")
    distance = np.abs(np.asarray(light.convert("RGB"), int) - np.asarray(Image.open(full).convert("RGB"), int))
    assert distance.max() < 26, "a tenth of the scale, at the edge of a line"
    assert distance.mean() < 0.1


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_whole(path, "old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_tolerances_follow_the_spread_and_let_go_of_what_they_cannot_check():
    def document(x):
        return {"values": {"a": {"value": x, "setting": "post"}, "b": {"value": 1, "setting": "post"}}, "series": {}}

    assert spread.limits([document(1.0), document(1.0)]) == {}
    assert spread.limits([document(1.0), document(1.01)]) == {"a": pytest.approx(0.04, rel=0.02)}
    assert spread.limits([document(1.0), document(2.0)]) == {"a": spread.FREE}
    assert spread.limits([document([1.0, 2.0]), document([1.0])]) == {"a": spread.FREE}


def test_a_free_key_is_compared_nowhere_but_must_be_there():
    def document(**values):
        return {"values": {key: {"value": x} for key, x in values.items()}, "series": {}}

    assert results.differences(document(a=1, b=2), document(a=9, b=2), {"a": spread.FREE}, spread.FLOOR) == []
    gone = results.differences(document(a=1, b=2), document(b=2), {"a": spread.FREE}, spread.FLOOR)
    assert gone == ["values: a is gone"]


def test_the_fingerprint_tells_machines_apart_and_repeats():
    here = arithmetic.fingerprint()
    assert here == arithmetic.fingerprint()
    if platform.machine() != "x86_64":
        pytest.skip("the other instruction sets that are asked for are those of x86-64")
    assert here != arithmetic.fingerprint({"ATEN_CPU_CAPABILITY": "default", "OPENBLAS_CORETYPE": "Prescott"})


def test_values_are_found_by_key_and_place():
    values = {"t": {"value": {"a": [1, 2]}}}
    assert results.look_up(values, "t[a][1]") == 2
    for key, named in [("u", "on record: nothing"), ("t[b]", "no 'b'"), ("t[a][7]", "no '7'")]:
        with pytest.raises(BookError, match=named):
            results.look_up(values, key)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["run", "77"], "there is no chapter '77'"),
        (["run", "01", "--set", "count"], "not NAME=VALUE"),
        (["run", "01", "--set", "count=many"], "'count' of chapter 01 is 'many'"),
        (["build", "77"], "there is no chapter '77'"),
        (["prepare", "01"], "nothing to prepare"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(tiny, capsys, arguments, named):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert named in captured.err
    assert captured.err.strip().count("\n") == 0


def test_a_text_that_arrived_in_pieces_is_one_output():
    def stream(name, text):
        return {"output_type": "stream", "name": name, "text": text}

    pieces = [stream("stdout", "a\n"), stream("stdout", "b\n"), stream("stderr", "c"), stream("stdout", "d")]
    assert merged(pieces) == [stream("stdout", "a\nb\n"), stream("stderr", "c"), stream("stdout", "d")]
