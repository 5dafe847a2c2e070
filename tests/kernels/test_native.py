"""C compiled at first use: built once, never half, and refused in one line."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from lib.errors import BookError
from lib.kernels import native

SOURCE = "int answer(void) { return ANSWER; }"

try:
    native.find_compiler()
except BookError as missing:
    pytest.skip(str(missing), allow_module_level=True)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder of the user's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native.load.cache_clear()
    yield tmp_path / "measured-claims" / "native"
    native.load.cache_clear()


def test_a_library_is_built_once_for_each_source_and_macro(cache, monkeypatch):
    assert native.load(SOURCE, ("ANSWER=42",)).answer() == 42
    assert native.load(SOURCE, ("ANSWER=7",)).answer() == 7
    assert len(list(cache.iterdir())) == 2
    native.load.cache_clear()
    monkeypatch.setattr(native, "_build", lambda *_: pytest.fail("built again"))
    assert native.load(SOURCE, ("ANSWER=42",)).answer() == 42


def test_another_processor_gets_a_library_of_its_own(cache, monkeypatch):
    native.load(SOURCE, ("ANSWER=1",))
    native.load.cache_clear()
    monkeypatch.setattr(native, "processor", lambda: "flags: another")
    native.load(SOURCE, ("ANSWER=1",))
    assert len(list(cache.iterdir())) == 2


def test_a_damaged_library_is_built_again(cache):
    native.load(SOURCE, ("ANSWER=5",))
    (made,) = cache.iterdir()
    native.load.cache_clear()
    made.unlink()
    made.write_bytes(b"not a library")
    assert native.load(SOURCE, ("ANSWER=5",)).answer() == 5


def test_the_cache_is_private(cache):
    native.load(SOURCE, ("ANSWER=5",))
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_a_cache_that_cannot_be_made_is_replaced_by_a_folder_of_this_process(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    folder = native.cache_folder()
    assert folder.is_dir()
    assert folder == native.cache_folder()
    assert tmp_path not in folder.parents


def test_source_that_does_not_compile_is_refused_in_one_line(cache):
    with pytest.raises(BookError, match=r"^the C compiler .* refused the kernel: .*error.*; set CC to another$"):
        native.load("int answer(void) { return }")
    assert list(cache.iterdir()) == []


def test_no_compiler_is_said(cache, monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(BookError, match="no C compiler: 'no-such-compiler' is not on the PATH; install one or set CC"):
        native.load(SOURCE, ("ANSWER=5",))


def test_processes_that_build_at_once_do_not_meet(cache):
    code = f"from lib.kernels import native; assert native.load({SOURCE!r}, ('ANSWER=9',)).answer() == 9"
    runs = [subprocess.Popen([sys.executable, "-c", code], env={**os.environ}) for _ in range(4)]
    assert [run.wait() for run in runs] == [0] * 4
    assert len(list(cache.iterdir())) == 1
