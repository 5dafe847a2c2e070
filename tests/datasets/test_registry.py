"""The registry: rows are checked, sums are always checked, and what is missing is said in one line."""

import hashlib
import http.server
import importlib.util
import os
import threading
from pathlib import Path

import pytest
import yaml

from lib.datasets import registry
from lib.errors import BookError

BODY = b"odor,label\n" * 500
MIRROR = os.environ.get(registry.MIRROR)
NOT_MIRRORED = {"fma_index"}  # a list of addresses that no chapter reads


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


class Server:
    """A file server on this machine: `pages` maps a path to (status, body, announced length)."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[int, bytes, int]] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                status, body, length = outer.pages.get(self.path, (404, b"", 0))
                self.send_response(status)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def put(self, path: str, body: bytes, *, length: int | None = None, status: int = 200) -> None:
        self.pages[path] = (status, body, len(body) if length is None else length)

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def server():
    running = Server()
    yield running
    running.stop()


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A book with an empty registry, an empty cache, no mirror and nothing used; call it to write its rows."""
    monkeypatch.setenv("BOOK_ROOT", str(tmp_path / "book"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv(registry.MIRROR, raising=False)
    monkeypatch.setattr(registry, "_used", set())
    (tmp_path / "book" / "data").mkdir(parents=True)

    def write(*rows: dict) -> None:
        (tmp_path / "book" / "data" / "registry.yml").write_text(yaml.safe_dump(list(rows)))

    return write


def row(address: str | None, **changes) -> dict:
    """A sound row of form `file` for BODY; a change to None drops the field."""
    made = {
        "name": "labels",
        "title": "Odor labels",
        "tier": "fetched",
        "form": "file",
        "licence": "MIT",
        "licence_note": "of the repository",
        "chapters": ["04"],
        "note": "a table of labels",
        "address": address,
        "mirror": "odor/labels.csv",
        "sha256": digest(BODY),
        "bytes": len(BODY),
    }
    return {key: value for key, value in (made | changes).items() if value is not None}


def folder_row(address: str, **changes) -> dict:
    files = [{"path": name, "sha256": digest(name.encode()), "bytes": len(name)} for name in ("a.txt", "deep/b.txt")]
    return row(address, form="folder", mirror="odor", sha256=None, bytes=None, files=files, **changes)


def visible(tmp_path: Path) -> set[str]:
    cache = tmp_path / "cache"
    return {path.name for path in cache.rglob("*") if path.is_file()}


def test_fetches_checks_and_then_stays_silent(book, server, tmp_path, capfd, caplog):
    book(row(f"{server.address}/labels.csv"))
    server.put("/labels.csv", BODY)
    path = registry.fetch("labels")
    assert path.read_bytes() == BODY
    assert path.is_relative_to(tmp_path / "cache")
    server.pages.clear()
    assert registry.fetch("labels") == path, "the second time it comes from the cache"
    assert server.asked == ["/labels.csv"]
    assert registry.used() == {"labels"}
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_folder_of_files(book, server):
    book(folder_row(f"{server.address}/base/"))
    server.put("/base/a.txt", b"a.txt")
    server.put("/base/deep/b.txt", b"deep/b.txt")
    folder = registry.fetch("labels")
    assert (folder / "deep/b.txt").read_bytes() == b"deep/b.txt"
    (folder / "a.txt").write_bytes(b"bitten by time")
    assert (registry.fetch("labels") / "a.txt").read_bytes() == b"a.txt", "a damaged copy is fetched again"
    assert server.asked == ["/base/a.txt", "/base/deep/b.txt", "/base/a.txt"]


def test_wrong_sum_leaves_nothing(book, server, tmp_path):
    book(row(f"{server.address}/labels.csv"))
    server.put("/labels.csv", BODY + b"x")
    with pytest.raises(BookError, match=r"labels.*another sha256.*try again"):
        registry.fetch("labels")
    assert visible(tmp_path) == set()


def test_truncated_download_leaves_nothing(book, server, tmp_path):
    book(row(f"{server.address}/labels.csv"))
    server.put("/labels.csv", BODY[:1000], length=len(BODY))
    with pytest.raises(BookError, match="download failed"):
        registry.fetch("labels")
    assert visible(tmp_path) == set()


@pytest.mark.parametrize("form", ["file", "folder"])
def test_server_gone_is_one_line_with_the_remedy(book, tmp_path, form):
    gone = Server()
    book((row if form == "file" else folder_row)(f"{gone.address}/"))
    gone.stop()
    with pytest.raises(BookError) as caught:
        registry.fetch("labels")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("labels", "Odor labels", "licence MIT", gone.address, "BOOK_DATA_MIRROR", "odor", "bytes"):
        assert part in message
    assert visible(tmp_path) == set()


def test_not_found_is_the_same_line(book, server):
    book(row(f"{server.address}/nowhere.csv"))
    with pytest.raises(BookError, match=r"HTTPError.*BOOK_DATA_MIRROR"):
        registry.fetch("labels")


def test_mirror_comes_first(book, server, tmp_path, monkeypatch):
    book(row(f"{server.address}/labels.csv"))
    server.put("/labels.csv", BODY)
    registry.fetch("labels")
    (tmp_path / "mirror" / "odor").mkdir(parents=True)
    (tmp_path / "mirror/odor/labels.csv").write_bytes(BODY)
    monkeypatch.setenv(registry.MIRROR, str(tmp_path / "mirror"))
    assert registry.fetch("labels") == tmp_path / "mirror/odor/labels.csv"


def test_wrong_file_in_the_mirror_is_refused_and_not_replaced(book, server, tmp_path, monkeypatch):
    book(row(f"{server.address}/labels.csv"))
    server.put("/labels.csv", BODY)
    (tmp_path / "mirror" / "odor").mkdir(parents=True)
    (tmp_path / "mirror/odor/labels.csv").write_bytes(b"another table")
    monkeypatch.setenv(registry.MIRROR, str(tmp_path / "mirror"))
    with pytest.raises(BookError, match=r"labels: .*odor/labels\.csv has another sha256.*unset BOOK_DATA_MIRROR"):
        registry.fetch("labels")
    assert server.asked == []
    assert (tmp_path / "mirror/odor/labels.csv").read_bytes() == b"another table"


def test_mirror_without_the_file_falls_through(book, server, tmp_path, monkeypatch):
    book(row(f"{server.address}/labels.csv"))
    server.put("/labels.csv", BODY)
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv(registry.MIRROR, str(tmp_path / "mirror"))
    assert registry.fetch("labels").is_relative_to(tmp_path / "cache")


def archive_row(server: Server, tmp_path: Path, members: dict[str, bytes]) -> dict:
    """Serve a zip of these members below release/ and describe one clip of it, which reads b"clip"."""
    import zipfile

    with zipfile.ZipFile(tmp_path / "release.zip", "w") as bundle:
        for name, body in members.items():
            bundle.writestr(name, body)
    packed = (tmp_path / "release.zip").read_bytes()
    server.put("/release.zip", packed)
    files = [{"path": "clip.wav", "sha256": digest(b"clip"), "bytes": 4}]
    return row(
        f"{server.address}/release.zip", form="archive", member="release", files=files, mirror="speech",
        sha256=digest(packed), bytes=len(packed),
    )  # fmt: skip


def test_archive_gives_its_files_and_is_not_kept(book, server, tmp_path):
    book(archive_row(server, tmp_path, {"release/clip.wav": b"clip", "release/other.wav": b"other"}))
    assert (registry.fetch("labels") / "clip.wav").read_bytes() == b"clip"
    assert visible(tmp_path) == {"clip.wav"}
    registry.fetch("labels")
    assert server.asked == ["/release.zip"]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"release/clip.wav": b"clip", "../evil.wav": b"evil"}, "outside its folder"),
        ({"release/clip.wav": b"changed"}, r"clip\.wav in its archive has another sha256"),
        ({"release/other.wav": b"clip"}, r"lacks 'release/clip\.wav'"),
    ],
    ids=["hostile", "changed", "missing"],
)
def test_bad_archive_leaves_nothing(book, server, tmp_path, members, message):
    book(archive_row(server, tmp_path, members))
    with pytest.raises(BookError, match=message):
        registry.fetch("labels")
    assert visible(tmp_path) == set()


def test_by_hand_says_how(book):
    book(row("https://example.org/all.tar", form="by_hand", note="the first eight lines"))
    with pytest.raises(BookError, match=r"no address serves.*all\.tar \(the first eight lines\).*BOOK_DATA_MIRROR"):
        registry.fetch("labels")


def test_package(book):
    bare = {"form": "package", "tier": "ships", "mirror": None, "sha256": None, "bytes": None}
    book(
        row(None, **bare, package="pytest", module="pytest"),
        row(None, **bare, package="no-such-package", module="no_such_package_at_all") | {"name": "absent"},
    )
    assert registry.fetch("labels") == Path(importlib.util.find_spec("pytest").origin).parent
    with pytest.raises(BookError, match="no-such-package, which is not installed: pip install --no-deps"):
        registry.fetch("absent")


def test_unknown_name_suggests_the_nearest(book):
    book(row("https://example.org/labels.csv"))
    with pytest.raises(BookError, match=r"'lables'.*did you mean labels\?"):
        registry.fetch("lables")
    assert registry.used() == frozenset()


def test_bundled_file_is_noted_and_stays_inside(book, tmp_path):
    (tmp_path / "book/data/table.csv").write_text("a\n")
    (tmp_path / "outside.csv").write_text("a\n")
    assert registry.bundled("data/table.csv").read_text() == "a\n"
    assert registry.used() == {"data/table.csv"}
    with pytest.raises(BookError, match="outside the book"):
        registry.bundled("../outside.csv")
    with pytest.raises(BookError, match=r"no file 'data/tabel\.csv'"):
        registry.bundled("data/tabel.csv")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"licence": None}, "row 'labels' lacks the field 'licence'"),
        ({"license": "MIT"}, "row 'labels' has an unknown field 'license'"),
        ({"tier": "free"}, "'labels', field 'tier': 'free' is none of ships"),
        ({"form": "directory"}, "'labels', field 'form': 'directory' is none of file"),
        ({"sha256": None}, "'labels': the form 'file' needs the field 'sha256'"),
        ({"member": "top"}, "'labels': the form 'file' has no use for the field 'member'"),
        ({"bytes": "many"}, "'labels', field 'bytes': 'many' is empty or no int"),
        ({"title": ""}, "'labels', field 'title': '' is empty"),
        ({"sha256": "ABC"}, "'labels', field 'sha256': 'ABC' is not 64"),
        ({"chapters": ["04", 5]}, "'labels', field 'chapters'"),
        ({"form": "folder", "sha256": None, "bytes": None, "files": [{"path": "a"}]}, "'labels', field 'files'"),
        ({"name": None}, "row 1 has no field 'name'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_row_is_refused_by_name_and_field(book, changes, message):
    book(row("https://example.org/labels.csv", **changes))
    with pytest.raises(BookError, match=message):
        registry.rows()


def test_a_name_given_twice_and_text_that_is_not_yaml_are_refused(book, tmp_path):
    book(row("https://example.org/a.csv"), row("https://example.org/b.csv"))
    with pytest.raises(BookError, match="'labels' appears twice"):
        registry.rows()
    (tmp_path / "book/data/registry.yml").write_text("- name: [open\n")
    with pytest.raises(BookError, match="not YAML"):
        registry.rows()
    (tmp_path / "book/data/registry.yml").unlink()
    with pytest.raises(BookError, match="BOOK_ROOT"):
        registry.rows()


def test_the_books_own_registry_is_sound():
    table = registry.rows()
    assert {"pocket_odorants", "gs_lf_curated", "gs_lf_broad", "pom_embeddings"} <= set(table)
    for name, entry in table.items():
        assert (entry.tier == "fetched") == (entry.form not in {"package", "bundled"}), name
        assert set(entry.chapters) <= {f"{number:02d}" for number in range(1, 11)}, name
        assert entry.address == "" or entry.address.startswith("https://"), name
        if "githubusercontent" in entry.address:
            commit = entry.address.split("/")[5]
            assert len(commit) == 40, f"{name} is not pinned to a commit"
    assert registry.bundled(table["pocket_odorants"].path).is_file()


@pytest.mark.skipif(not MIRROR, reason="BOOK_DATA_MIRROR is not set: the public files are not at hand")
def test_every_file_of_the_mirror_has_a_row_with_its_sum_and_size():
    described = {}
    for name, entry in registry.rows().items():
        if entry.mirror and name not in NOT_MIRRORED:
            path = registry.fetch(name)
            described |= {path / file.path: file.bytes for file in entry.files} or {path: entry.bytes}
    for path, size in described.items():
        assert path.stat().st_size == size, path
    data = {path for path in Path(MIRROR).rglob("*") if path.is_file() and path.parent != Path(MIRROR)}
    assert {path.name for path in data - set(described) if not path.name.startswith("LICENSE")} == set()
