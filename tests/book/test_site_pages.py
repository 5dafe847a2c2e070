"""The generated pages, from made-up verdicts and registry rows: no build, no browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lib.press import pages, site
from lib.press.paths import Book
from lib.press.verdicts import VERDICTS, Verdict

ROW = Verdict(
    chapter="04",
    chapter_title="Loops & smells",
    slug="odor_topology",
    id="odor.ratio",
    claim="The ratio is <b>above</b> one.",
    source="text",
    kind="magnitude",
    reported=2.445,
    value=2.41234,
    setting="real",
    profile="full",
    verdict="holds",
    evidence="Ours: 2.41 & no more.",
)


def test_counts_name_all_six_verdicts_and_the_chapters() -> None:
    page = pages.counts_page([ROW, replace(ROW, id="b", verdict="fails"), replace(ROW, id="c", verdict="fails")])
    for name, count in zip(VERDICTS, (1, 0, 2, 0, 0, 0), strict=True):
        assert f">{count}</b> {name}</a>" in page
    assert "3 claims so far, of 1 chapter:" in page
    assert "Loops &amp; smells" in page


def test_a_chapter_s_bar_has_a_part_for_every_verdict_found_and_says_them() -> None:
    titled = replace(ROW, chapter_title="Odor: loops & smells")
    other = replace(ROW, chapter="05", slug="proxy")
    page = pages.counts_page([titled, replace(titled, id="b", verdict="fails"), other])
    assert "<b>Odor</b><span>loops &amp; smells</span>" in page
    assert 'aria-label="2 claims: 1 holds, 1 fails"' in page
    assert 'style="width:100%"><i class="verdict-holds" style="flex:1"></i><i class="verdict-fails"' in page
    assert 'style="width:50%"><i class="verdict-holds" style="flex:1"></i></span>' in page


def test_links_fit_the_site_and_the_epub() -> None:
    page = pages.counts_page([ROW])
    web, epub = page.split("{only} epub")
    assert 'href="ledger.html#verdict=holds"' in web
    assert 'href="ledger.xhtml#verdict=holds"' in epub
    assert ".PAGE" not in page


def test_text_cannot_break_out_of_the_ledger() -> None:
    page = pages.ledger_page([ROW])
    assert "&lt;b&gt;above&lt;/b&gt;" in page
    assert "Ours: 2.41 &amp; no more." in page


@pytest.mark.parametrize(
    ("reported", "cell"),
    [
        (2.445, ">2.445<"),  # digit for digit, as the post has it
        (21904648, ">21,904,648<"),
        (True, ">yes<"),
        (None, ">–<"),
        ("a & b", ">a &amp; b<"),
        ([1.5, 2.25], "<summary>2 values</summary><ul><li>1: 1.5</li><li>2: 2.25</li></ul>"),
        ({"mean": 1.522}, "<summary>1 value</summary><ul><li>mean: 1.522</li></ul>"),
    ],
    ids=str,
)
def test_reported_values_are_shown_as_reported(reported: object, cell: str) -> None:
    assert cell in pages.ledger_page([replace(ROW, reported=reported)])


def test_a_stale_run_says_so() -> None:
    text = "Recorded before the code changed"
    assert text in pages.ledger_page([replace(ROW, stale=True)])
    assert text not in pages.ledger_page([ROW])


def test_boxes_count_each_choice_and_offer_only_kinds_that_occur() -> None:
    page = pages.ledger_page([ROW, replace(ROW, id="b", kind="reasoning")])
    assert 'value="magnitude"/>magnitude <span class="n">1</span>' in page
    assert 'value="reasoning"' in page
    assert 'value="protocol"' not in page


def test_an_empty_ledger_says_so() -> None:
    assert pages.ledger_page([]) == "No claim is on record yet.\n"


DATA = {
    "name": "table",
    "title": "A <table>",
    "tier": "fetched",
    "form": "file",
    "address": "https://raw.githubusercontent.com/owner/repo/abc/data.csv",
    "bytes": 1_647_971,
    "licence": "MIT",
    "licence_note": "cite it",
    "chapters": ["04", "09"],
    "note": "",
}


def test_data_page_groups_rows_by_tier_and_use() -> None:
    ships = {"name": "own", "title": "Own", "tier": "ships", "form": "bundled", "path": "data/bundled/own.csv"}
    ships |= {"licence": "MIT", "chapters": ["04"]}
    later = DATA | {"name": "later", "chapters": ["09"]}
    page = pages.data_page([DATA, ships, later], {"04": "04_odor_topology"})
    first, second, third = page.split("## ")[1:]
    assert first.startswith("Ships with the book")
    assert "data/bundled/own.csv" in first
    assert second.startswith("Fetched for full runs")
    assert "A &lt;table&gt;" in second
    assert '<a href="../chapters/04_odor_topology.html">04</a>, 09' in second
    assert third.startswith("Registered, not used by a chapter yet")
    assert '<tr id="data-later">' in third


@pytest.mark.parametrize(
    ("row", "size"),
    [
        ({"bytes": 1_647_971}, "1.6 MB"),
        ({"bytes": 1_700}, "1.7 kB"),
        ({"bytes": 2_748_572_632}, "2.7 GB"),
        ({"files": [{"bytes": 400_000}, {"bytes": 200_000}]}, "0.6 MB"),
        ({}, ""),
    ],
    ids=str,
)
def test_sizes_are_readable(row: dict, size: str) -> None:
    assert pages._size(row) == size


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://raw.githubusercontent.com/owner/repo/abc/data.csv", "owner/repo"),
        ("https://physionet.org/files/eegmmidb/1.0.0/S001/", "physionet.org"),
    ],
)
def test_addresses_are_named_in_few_words(address: str, host: str) -> None:
    assert pages._host(address) == host


def test_an_untouched_page_is_not_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "registry.yml").write_text("[]")
    monkeypatch.setattr(pages, "verdicts", lambda book: [ROW])
    pages.generate(Book(tmp_path))
    page = tmp_path / "book" / "_generated" / "ledger.md"
    before = page.stat().st_mtime_ns, page.stat().st_ino
    pages.generate(Book(tmp_path))
    assert (page.stat().st_mtime_ns, page.stat().st_ino) == before
    monkeypatch.setattr(pages, "verdicts", lambda book: [replace(ROW, verdict="fails")])
    pages.generate(Book(tmp_path))
    assert 'data-verdict="fails"' in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("fine\n/b/book/a.md:3: WARNING: no such page\n/b/x: WARNING: b", "book/a.md:3: WARNING: no such page"),
        ("\x1b[91mExtension error (x):\x1b[0m\nHandler failed\n====", "Extension error (x): Handler failed"),
        ("Sphinx error:\nERROR: /b/book/a.md: no MathML\n", "Sphinx error: ERROR: book/a.md: no MathML"),
        ("all I know", "all I know"),
        ("", "it said nothing"),
    ],
    ids=["warning", "extension", "sphinx", "other", "empty"],
)
def test_the_first_warning_is_named(log: str, line: str) -> None:
    assert site._first_warning(log, Path("/b")) == line
