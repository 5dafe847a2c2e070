"""Archives: unpacked only when every member stays inside its folder, and visible only when all of it is written."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO

from lib.errors import BookError


def check_member(name: str, archive: str) -> None:
    """Refuse a member name that would be written outside the folder of extraction.

    Raises BookError for an absolute name, a drive letter, a backslash, or any `..`.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise BookError(f"archive {archive} has a member outside its folder ({name!r}): do not use it")


def extract(archive: Path, members: Mapping[str, str], folder: Path) -> None:
    """Write the members of a tar or zip archive into a folder, all or none.

    members maps a name in the archive to a path below `folder`. The whole archive is refused when any member, wanted
    or not, would leave the folder, and when a wanted one is a link or a device. Files are written to a temporary
    folder beside `folder`, then renamed, so that an interrupted extraction leaves nothing under the final names.

    Raises BookError for a hostile or unreadable archive and for a missing member. Serves the speech of chapters 09, 10.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=folder.parent) as scratch:
        found = _write(archive, members, Path(scratch))
        missing = sorted(set(members) - found)
        if missing:
            raise BookError(f"archive {archive.name} lacks {missing[0]!r}: fetch the release that the registry names")
        for target in members.values():
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            (Path(scratch) / target).replace(folder / target)


def _write(archive: Path, members: Mapping[str, str], scratch: Path) -> set[str]:
    """Copy the wanted members below scratch in one pass, checking the name of every member on the way."""
    found: set[str] = set()
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as bundle:
                for item in bundle.infolist():
                    check_member(item.filename, archive.name)
                    if item.filename in members:
                        with bundle.open(item) as source:
                            _copy(source, scratch / members[item.filename])
                        found.add(item.filename)
            return found
        with tarfile.open(archive, "r|*") as bundle:
            for item in bundle:
                check_member(item.name, archive.name)
                if item.name in members:
                    source = bundle.extractfile(item) if item.isreg() else None
                    if source is None:
                        raise BookError(f"archive {archive.name} holds {item.name!r} as a link or device: refuse it")
                    _copy(source, scratch / members[item.name])
                    found.add(item.name)
        return found
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise BookError(f"archive {archive.name} cannot be read ({error}): delete it and fetch it again") from error


def _copy(source: IO[bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as sink:
        shutil.copyfileobj(source, sink)
