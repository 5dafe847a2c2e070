"""The built site: clean, complete, light, and deaf to the rest of the world."""

from __future__ import annotations

import re
import shutil
import zipfile
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
import yaml
from docutils import nodes
from sphinx.errors import SphinxError

from lib.errors import BookError
from lib.press import site
from lib.press.paths import Book
from lib.press.verdicts import VERDICTS, verdicts
from tests.book import scan
from tests.book.browser import pages

pytestmark = pytest.mark.site
PAGE_LIMIT = 1_500_000  # bytes: a page with all that it names (scripts, styles, pictures), MathJax apart
ROOT = Book.current().root


def listed(toc: dict) -> list[str]:
    """The chapters that a table of contents lists, in its order."""
    files = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    return [Path(file).name for file in files if file.startswith("chapters/")]


# ---- The table of contents ---------------------------------------------------------------------------------------


def test_toc_lists_exactly_the_notebooks() -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    assert sorted(listed(toc)) == sorted(path.stem for path in (ROOT / "chapters").glob("*.ipynb"))
    assert all(part["chapters"] for part in toc["parts"]), "a part without a chapter is left out"


def test_toc_lists_every_page() -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [toc["root"]] + [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    pages_of_the_book = [name for name in files if name.startswith("book/")]
    assert sorted(pages_of_the_book) == sorted(f"book/{path.stem}" for path in (ROOT / "book").glob("*.md"))


def test_listed_sees_a_chapter_that_is_not_there() -> None:
    toc = {"parts": [{"chapters": [{"file": "book/data"}, {"file": "chapters/99_nothing"}]}]}
    assert listed(toc) == ["99_nothing"]


def test_sources_links_exactly_the_chapters() -> None:
    text = (ROOT / "book" / "sources.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(\.\./chapters/(\w+)\.ipynb\)", text)
    assert sorted(linked) == [chapter.name for chapter in Book(ROOT).chapters()]
    assert re.findall(r"^\[?(\d\d)\]?", text, flags=re.MULTILINE) == [f"{n:02d}" for n in range(1, 11)]


# ---- The build ---------------------------------------------------------------------------------------------------


def test_build_gives_every_page(built: Path, book_copy: Book) -> None:
    names = {page.stem for page in pages(built)}
    wanted = {path.stem for path in (book_copy.root / "book").glob("*.md")}
    assert names == wanted | {chapter.name for chapter in book_copy.chapters()}
    assert "url=book/intro.html" in (built / "index.html").read_text(encoding="utf-8")


def small_book(root: Path, page: str) -> Book:
    """A book of one page, with the real configuration and styles."""
    shutil.copytree(ROOT / "book" / "_static", root / "book" / "_static")
    shutil.copy(ROOT / "book" / "references.bib", root / "book")
    shutil.copy(ROOT / "_config.yml", root)
    (root / "data").mkdir()
    (root / "data" / "registry.yml").write_text("[]", encoding="utf-8")
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n", encoding="utf-8")
    (root / "book" / "intro.md").write_text(page, encoding="utf-8")
    return Book(root)


def test_a_warning_stops_the_build_every_time(tmp_path: Path) -> None:
    book = small_book(tmp_path / "book", "# Cover\n\nSee [nothing](nowhere.md).\n")
    for _ in range(2):  # a second build must not find the page up to date and stay quiet
        with pytest.raises(BookError, match=r"html build stopped: book/intro\.md:3: WARNING: .*nowhere"):
            site.build(book)


def test_buttons_that_lead_outside_appear_only_with_a_repository(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "https://github.com/somebody/a-book"
    assert not any(word in page.read_text(encoding="utf-8") for page in pages(built) for word in ("colab", address))
    monkeypatch.setenv("REPO", address)
    page = site.build(small_book(tmp_path / "book", "# Cover\n")).parent / "book" / "intro.html"
    assert f'href="{address}"' in page.read_text(encoding="utf-8")


# ---- Nothing from outside ------------------------------------------------------------------------------------------


def test_no_page_loads_anything_from_outside(built: Path) -> None:
    for page in built.rglob("*.html"):
        assert scan.outside(scan.Page(page.read_text(encoding="utf-8")).loads) == [], page.name
    for sheet in built.rglob("*.css"):
        assert scan.outside(scan.in_css(sheet.read_text(encoding="utf-8"))) == [], sheet.name


@pytest.mark.parametrize(
    "page",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/css">',
        '<link rel="preconnect" href="https://fonts.example">',
        '<img alt="a" src="https://example.org/a.png">',
        '<img alt="a" srcset="a.png 1x, https://example.org/a.png 2x">',
        '<iframe src="https://example.org"></iframe>',
        '<p style="background: url(https://example.org/a.png)">',
        "<style>@import 'https://fonts.example/css';</style>",
        '<style>a { background: url("http://example.org/a.png") }</style>',
        '<script>import("https://cdn.example/x.js")</script>',
        "<script>script.src = 'https://cdn.example/x.js'</script>",
        '<meta http-equiv="refresh" content="0; url=https://example.org">',
    ],
)
def test_the_scan_sees_what_leaves_the_site(page: str) -> None:
    assert len(scan.outside(scan.Page(page).loads)) == 1


def test_the_scan_lets_links_and_local_files_pass() -> None:
    page = (
        '<a href="https://example.org">x</a><img alt="" src="../_images/a.png"><link rel="next" href="https://e.org">'
    )
    assert scan.outside(scan.Page(page).loads) == []


def test_tables_that_a_cell_prints_are_tables(built: Path) -> None:
    raw = re.compile(r"^\|\s*(-{3}|—)\s*\|", re.MULTILINE)
    assert [page.name for page in pages(built) if raw.search(page.read_text(encoding="utf-8"))] == []
    assert raw.search("<p>| depth | k |\n| — | — |\n| early | 8 |</p>")


# ---- Weight and pictures -------------------------------------------------------------------------------------------


def weight(page: Path) -> int:
    """Bytes of a page and of every local file that it names; MathJax, which all formulas share, is not counted."""
    named = {address.split("?")[0].split("#")[0] for address in scan.Page(page.read_text(encoding="utf-8")).loads}
    files = {(page.parent / name).resolve() for name in named if name and not name.startswith("data:")}
    return page.stat().st_size + sum(f.stat().st_size for f in files if f.is_file() and "mathjax" not in f.parts)


def test_no_page_is_too_heavy(built: Path) -> None:
    weights = {page.name: weight(page) for page in pages(built)}
    assert max(weights.values()) <= PAGE_LIMIT, weights


def test_weight_counts_pictures_and_not_mathjax(tmp_path: Path) -> None:
    (tmp_path / "mathjax").mkdir()
    for name, size in {"a.png": 300, "b.css": 50, "mathjax/m.js": 7000}.items():
        (tmp_path / name).write_bytes(b"x" * size)
    page = tmp_path / "page.html"
    page.write_text('<img src="a.png"><link rel="stylesheet" href="b.css?v=1"><script src="mathjax/m.js"></script>')
    assert weight(page) == page.stat().st_size + 350


def test_marks_that_colour_nothing_are_left_out(built: Path) -> None:
    styles = (built / "_static" / "pygments.css").read_text(encoding="utf-8")
    for theme in ("light", "dark"):
        colours = dict(re.findall(rf'data-theme="{theme}"\] \.highlight ?(\.p|) {{[^}}]*?\bcolor: (#\w+)', styles))
        assert len(colours) == 2, colours
        assert len({colour.lower() for colour in colours.values()}) == 1, "punctuation has a colour of its own now"
    for page in pages(built):
        assert not re.search(r'<span class="p">[^<]*</span>', page.read_text(encoding="utf-8")), page.name


def test_every_picture_has_an_alt_text(built: Path) -> None:
    for page in pages(built):
        assert all(scan.Page(page.read_text(encoding="utf-8")).alts), page.name


def test_a_missing_alt_text_is_seen() -> None:
    assert scan.Page('<img src="a.png"><img src="b.png" alt=""><img src="c.png" alt="c">').alts == [None, "", "c"]


# ---- The ledger on the pages ---------------------------------------------------------------------------------------


def test_ledger_holds_every_claim_and_the_cover_counts_them(built: Path, book_copy: Book) -> None:
    rows = verdicts(book_copy)
    assert rows, "a book without claims shows nothing"
    ledger = (built / "book" / "ledger.html").read_text(encoding="utf-8")
    assert re.findall(r'<tr id="claim-([^"]+)"', ledger) == [row.id for row in rows]
    cover = (built / "book" / "intro.html").read_text(encoding="utf-8")
    shown = re.findall(r'href="ledger\.html#verdict=([a-z-]+)"><b class="verdict-\1">(\d+)</b>', cover)
    counts = Counter(row.verdict for row in rows)
    assert shown == [(name.replace(" ", "-"), str(counts[name])) for name in VERDICTS]


# ---- Colours -------------------------------------------------------------------------------------------------------


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours (WCAG 2.2); AA asks for 4.5 in running text."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_the_known_one() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)  # just below AA


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_verdicts_and_text_are_legible(theme: str) -> None:
    css = (ROOT / "book" / "_static" / "book.css").read_text(encoding="utf-8")
    block = css.split(f'html[data-theme="{theme}"] {{')[1].split("}")[0]
    colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    grounds = [colour[name] for name in ("pst-color-background", "book-paper", "pst-color-table-row-hover-bg")]
    for verdict in (name.replace(" ", "-") for name in VERDICTS):
        text = colour[f"verdict-{verdict}"]
        for ground in [*grounds, colour[f"verdict-{verdict}-bg"]]:
            assert contrast(text, ground) >= 4.5, (verdict, ground)
    for name in ("text-base", "text-muted", "link", "link-hover", "inline-code"):
        for ground in [*grounds, colour["pst-color-surface"]]:
            assert contrast(colour[f"pst-color-{name}"], ground) >= 4.5, (name, ground)


# ---- The EPUB ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_epub_is_well_formed_and_complete(book_copy: Book, tmp_path: Path) -> None:
    with zipfile.ZipFile(site.build(book_copy, epub=True)) as archive:
        assert archive.namelist()[0] == "mimetype"
        archive.extractall(tmp_path)
    documents = sorted(tmp_path.rglob("*.xhtml"))
    assert {chapter.name for chapter in book_copy.chapters()} <= {document.stem for document in documents}
    for document in documents:
        for element in ElementTree.parse(document).iter():
            tag = str(element.tag).rpartition("}")[2]
            assert tag != "script", document.name
            for address in filter(None, (element.get("src"), element.get("href"))):
                if re.match(r"https?:|mailto:", address):
                    assert tag == "a", f"{document.name} loads {address}"
                elif not address.startswith(("#", "data:")):
                    assert (document.parent / address.split("#")[0]).is_file(), f"{document.name} misses {address}"


def epub_parts() -> ModuleType:
    """The Sphinx extension of the EPUB, which is no part of `lib`."""
    found = spec_from_file_location("epub_parts", ROOT / "book" / "_ext" / "epub_parts.py")
    assert found is not None
    assert found.loader is not None
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


def formula(latex: str) -> str:
    """A formula as the EPUB shows it."""
    return epub_parts()._mathml(nodes.math_block(latex, latex), block=True)


@pytest.mark.parametrize(
    ("latex", "tag"),
    [
        (r"\frac{a}{b}", "mfrac"),
        (r"a &= b \\ c &= d", "mtable"),
        (r"\operatorname{softmax}(x)", "mi"),
        (r"a, \dots, z", "mo"),
    ],
)
def test_formulas_of_the_epub_are_mathml(latex: str, tag: str) -> None:
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(formula(latex)).iter()}
    assert {"math", tag} <= tags


@pytest.mark.parametrize(
    ("text", "xml"),
    [
        ("a<br>b", "a<br/>b"),
        ("a<br />b", "a<br/>b"),
        ("<img alt=\"1 > 0\" src='a.png'>", "<img alt=\"1 > 0\" src='a.png'/>"),
        ("<col><colgroup></colgroup>", "<col/><colgroup></colgroup>"),
        ("a&nbsp;b &lt; c &times; d &#39;", "a\xa0b &lt; c × d &#39;"),
    ],
)
def test_html_of_the_epub_is_xml(text: str, xml: str) -> None:
    assert epub_parts().well_formed(text) == xml
    ElementTree.fromstring(f"<p>{xml}</p>")


def test_a_formula_beyond_mathml_is_named() -> None:
    with pytest.raises(SphinxError, match=r"no MathML for .*nosuchcommand"):
        formula(r"\nosuchcommand")
