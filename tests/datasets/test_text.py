"""Docstrings as text: each once, split by package, read without import, cut into rows that are handed out once."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib.datasets import pocket_text, text, token_properties
from lib.datasets.model_text import pile, retokenised
from lib.errors import BookError

LONG = "A sentence that is long enough to be kept, because it says more than the name of its function. "


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Two packages on the path, with a docstring in common, one that only differs in blanks, and tests to skip."""
    for name, bodies in {
        "bookish_a": [LONG + "One.", LONG + "Two.", LONG + "Two."],
        "bookish_b": [LONG + "Three.", LONG.replace(" long", "  long") + "Two.", "Short."],
    }.items():
        folder = tmp_path / name
        (folder / "tests").mkdir(parents=True)
        functions = [f'def f{i}():\n    """{body}"""\n' for i, body in enumerate(bodies)]
        (folder / "__init__.py").write_text("raise RuntimeError\n" + "\n".join(functions), encoding="utf-8")
        (folder / "tests" / "test_x.py").write_text(f'"""{LONG} Of a test."""', encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(text, "licence", lambda name: "MIT")
    return {"bookish_a": "a"}, {"bookish_b": "b"}


def test_each_text_is_kept_once_and_only_on_one_side(packages):
    found = text.corpus(*packages)
    assert sorted(one[-4:] for one in found.train) == ["One.", "Two."]
    assert [one[-6:] for one in found.held_out] == ["Three."]
    assert found.dropped == 2
    assert found.licences == {"a": "MIT", "b": "MIT"}
    assert found == text.corpus(*packages)


def test_the_digest_moves_with_the_text(packages, tmp_path):
    before = text.corpus(*packages).digest
    with (tmp_path / "bookish_b" / "__init__.py").open("a", encoding="utf-8") as file:
        file.write(f'\ndef g():\n    """{LONG} Four."""\n')
    assert text.corpus(*packages).digest != before


def test_the_books_packages_are_in_the_lock_and_say_their_licence():
    lock = (Path(__file__).resolve().parents[2] / "requirements.txt").read_text(encoding="utf-8")
    for module, name in (text.TRAIN | text.HELD_OUT).items():
        assert f"\n{name}==" in lock
        assert importlib.util.find_spec(module) is not None
        assert text.licence(name) not in ("not stated", "")
        assert "GPL" not in text.licence(name)
    assert not set(text.TRAIN) & set(text.HELD_OUT)


@given(st.text(max_size=60))
def test_any_text_comes_back_from_its_tokens(words):
    tokenizer = SMALL
    assert tokenizer.decode(tokenizer.encode(words).ids) == words


SMALL = text.byte_pairs([LONG, "numbers 1 2 3, and code: x = y[0]"], 280)


def test_streams_end_each_text_and_blocks_drop_the_rest():
    stream = text.tokens(["ab", "c"], SMALL)
    end = SMALL.token_to_id(text.END)
    assert end == 0
    assert stream[-1] == end
    assert (stream == end).sum() == 2
    assert text.blocks(np.arange(10), 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_a_row_is_handed_out_once():
    ration = text.Ration(np.arange(10).reshape(5, 2))
    assert ration.take(2).tolist() == [[0, 1], [2, 3]]
    assert ration.take(3)[0].tolist() == [4, 5]
    with pytest.raises(BookError, match="0 left unseen"):
        ration.take(1)


def test_pocket_text_goes_to_disk_and_back_and_shares_nothing(tmp_path):
    rows = np.arange(12, dtype=np.int32).reshape(6, 2)
    made = pocket_text.PocketText(rows[:2], rows[2:4], rows[4:], SMALL)
    pocket_text.save(made, tmp_path / "t.safetensors", tmp_path / "t.json")
    again = pocket_text.load(tmp_path / "t.safetensors", tmp_path / "t.json")
    assert again.autoencoders.tolist() == rows[2:4].tolist()
    assert again.held_out.tolist() == rows[4:].tolist()
    coded = np.array(SMALL.encode("x = y[0]").ids)
    assert again.read(coded) == "x = y[0]"


def test_properties_of_tokens_and_of_their_line():
    words = ">>> x\n7 "
    row = SMALL.encode(words).ids
    found = token_properties(torch.tensor([row]), SMALL)
    pieces = [SMALL.decode([token]) for token in row]
    assert [bool(x) for x in found["digit"][0]] == ["7" in piece for piece in pieces]
    assert [bool(x) for x in found["line break"][0]] == ["\n" in piece for piece in pieces]
    before_break = "".join(pieces).index("\n")
    assert bool(found["doctest line"][0][2])
    assert not bool(found["doctest line"][0][-1])
    assert before_break == 5


def test_text_in_the_tokens_of_another_model():
    found = retokenised(LONG * 3, SMALL, count=2, length=8)
    assert found.shape == (2, 8)
    assert SMALL.decode(found[0].tolist()) == LONG[: len(SMALL.decode(found[0].tolist()))]
    with pytest.raises(BookError, match="give a longer one"):
        retokenised(LONG, SMALL, count=50, length=8)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: text.corpus({"numpy": "numpy"}, {"numpy": "numpy"}), "name each package once"),
        (lambda: list(text.docstrings("no_such_package")), "not installed"),
        (lambda: text.licence("no-such-package"), "not installed"),
        (lambda: text.byte_pairs([LONG], 100), "257 or more"),
        (lambda: text.blocks(np.arange(3), 4), "no block of 4"),
        (lambda: text.Ration(np.arange(3)).take(0), "0 rows asked for"),
    ],
)
def test_bad_input_in_one_line(call, told):
    with pytest.raises(BookError, match=told):
        call()


def test_pile_rows_are_cut_and_skipped(tmp_path):
    rows = [{"tokens": list(range(10 * i, 10 * i + 10))} for i in range(4)]
    (tmp_path / "part.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = pile(2, length=4, name=str(tmp_path), skip=1)
    assert found.tolist() == [[4, 5, 6, 7], [10, 11, 12, 13]]
    with pytest.raises(BookError, match="ask for fewer"):
        pile(9, length=4, name=str(tmp_path))
