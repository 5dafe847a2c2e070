"""Archives: what is asked for comes out, and nothing is ever written outside the folder."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from lib.datasets.archive import check_member, extract
from lib.errors import BookError


def write_tar(path: Path, members: dict[str, bytes], link: tuple[str, str] | None = None) -> Path:
    """A bzip2 tar with these members in order, and at the end a symbolic link (name, target) if one is given."""
    with tarfile.open(path, "w:bz2") as bundle:
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            bundle.addfile(info, io.BytesIO(body))
        if link:
            info = tarfile.TarInfo(link[0])
            info.type, info.linkname = tarfile.SYMTYPE, link[1]
            bundle.addfile(info)
    return path


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    """A zip with these members."""
    with zipfile.ZipFile(path, "w") as bundle:
        for name, body in members.items():
            bundle.writestr(name, body)
    return path


def everything_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("write", [write_tar, write_zip], ids=["tar.bz2", "zip"])
def test_wanted_members_come_out_and_no_others(tmp_path, write):
    archive = write(tmp_path / "release", {"top/a.txt": b"a", "top/b.txt": b"b", "top/deep/c.txt": b"c"})
    extract(archive, {"top/a.txt": "a.txt", "top/deep/c.txt": "deep/c.txt"}, tmp_path / "out")
    assert everything_below(tmp_path / "out") == {"a.txt", "deep/c.txt"}
    assert (tmp_path / "out/deep/c.txt").read_bytes() == b"c"
    assert {path.name for path in tmp_path.iterdir()} == {"release", "out"}, "the temporary folder stayed behind"


@pytest.mark.parametrize("write", [write_tar, write_zip], ids=["tar.bz2", "zip"])
@pytest.mark.parametrize("hostile", ["../evil.txt", "/evil.txt", "top/../../evil.txt", "C:/evil.txt", "..\\evil.txt"])
def test_hostile_archive_is_refused_whole(tmp_path, write, hostile):
    archive = write(tmp_path / "release", {"top/a.txt": b"a", hostile: b"evil"})
    with pytest.raises(BookError, match=r"outside its folder.*evil"):
        extract(archive, {"top/a.txt": "a.txt"}, tmp_path / "out")
    assert everything_below(tmp_path) == {"release"}


def test_a_link_is_not_followed(tmp_path):
    archive = write_tar(tmp_path / "release", {"top/a.txt": b"a"}, link=("top/b.txt", "/etc/passwd"))
    with pytest.raises(BookError, match=r"top/b\.txt.*link"):
        extract(archive, {"top/a.txt": "a.txt", "top/b.txt": "b.txt"}, tmp_path / "out")
    assert everything_below(tmp_path) == {"release"}


def test_missing_member_and_broken_archive_are_named(tmp_path):
    archive = write_tar(tmp_path / "release", {"top/a.txt": b"a" * 100_000})
    with pytest.raises(BookError, match=r"lacks 'top/z\.txt'"):
        extract(archive, {"top/a.txt": "a.txt", "top/z.txt": "z.txt"}, tmp_path / "out")
    archive.write_bytes(archive.read_bytes()[:60])
    with pytest.raises(BookError, match="cannot be read"):
        extract(archive, {"top/a.txt": "a.txt"}, tmp_path / "out")
    assert everything_below(tmp_path) == {"release"}


@pytest.mark.parametrize("name", ["a.txt", "top/a.txt", "top/a..b.txt"])
def test_ordinary_names_pass(name):
    check_member(name, "release")
