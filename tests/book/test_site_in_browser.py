"""The built site opened in headless Chromium: what a reader sees, with a mouse, with keys, on a phone, in the dark."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest

from tests.book.browser import Browser, Log, pages

pytestmark = pytest.mark.site
LOADED_LIMIT = 1_500_000  # bytes that opening a page asks for, MathJax (shared by all formulas) apart
SHOWN = "[...document.querySelectorAll('table.ledger tbody tr')].filter((row) => row.checkVisibility()).length"
ROWS = "document.querySelectorAll('table.ledger tbody tr').length"


def loaded(log: Log) -> int:
    """Bytes of the files that a page asked for, MathJax apart."""
    files = {Path(unquote(urlparse(url).path)) for url in log.requests if url.startswith("file:")}
    return sum(file.stat().st_size for file in files if "mathjax" not in file.parts)


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_pages_open_quietly(built: Path, browser: Browser, width: int, theme: str) -> None:
    faults = {}
    for page in pages(built):
        log = browser.open(page.as_uri(), width, theme=theme)
        assert browser.evaluate("document.documentElement.dataset.theme") == theme
        found = {
            "console": log.console,
            "failed requests": log.failed,
            "outside requests": log.outside,
            "missing pictures": browser.missing_images(),
            "broken formulas": browser.evaluate("document.querySelectorAll('mjx-merror').length"),
            "wider than the window by": browser.overflow(),
            "heavier than the limit by": max(0, loaded(log) - LOADED_LIMIT),
        }
        faults |= {f"{page.stem}: {what}": value for what, value in found.items() if value}
    assert faults == {}


def test_faults_are_seen(tmp_path: Path, browser: Browser) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<img src="nowhere.png" alt="a"><p style="width: 3000px">wide</p>'
        '<script>console.error("a complaint")</script><script src="http://127.0.0.1:9/outside.js"></script>'
    )
    log = browser.open(page.as_uri(), 390)
    assert browser.overflow() > 2000
    assert [Path(address).name for address in browser.missing_images()] == ["nowhere.png"]
    assert "a complaint" in log.console
    assert log.outside == ["http://127.0.0.1:9/outside.js"]
    assert any("Image" in line for line in log.failed)
    assert loaded(Log(requests=[page.as_uri(), "https://example.org/a.js"])) == page.stat().st_size


def test_own_fonts_and_formulas_arrive(built: Path, browser: Browser) -> None:
    with_formula = [page for page in pages(built) if 'class="math' in page.read_text(encoding="utf-8")]
    assert with_formula, "no page has a formula"
    browser.open(with_formula[0].as_uri())
    assert browser.evaluate("document.fonts.check('16px \"Source Serif 4\"')")
    assert browser.evaluate("[...document.fonts].some((f) => f.family.includes('Source') && f.status === 'loaded')")
    assert browser.evaluate("document.querySelectorAll('mjx-container mjx-assistive-mml').length") > 0


def focus(browser: Browser, selector: str, most: int = 200) -> None:
    """Press Tab until the element that `selector` names has the focus, as a reader without a mouse would."""
    for _ in range(most):
        browser.press("Tab")
        if browser.evaluate(f"document.activeElement.matches({selector!r})"):
            return
    raise AssertionError(f"{selector} is not reached with {most} presses of Tab")


def test_ledger_filters_by_keyboard(built: Path, browser: Browser) -> None:
    browser.open((built / "book" / "ledger.html").as_uri())
    total = browser.evaluate(ROWS)
    assert browser.evaluate(SHOWN) == total > 0
    value = browser.evaluate("document.querySelector('table.ledger tbody tr').dataset.verdict")
    focus(browser, f'input[name="verdict"][value="{value}"]')
    assert browser.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2
    browser.press("Space")
    wanted = browser.evaluate(f"document.querySelectorAll('tr[data-verdict=\"{value}\"]').length")
    assert browser.evaluate(SHOWN) == wanted
    assert browser.evaluate("document.querySelector('.ledger-filters [role=status]').textContent") == (
        f"{wanted} of {total} claims shown"
    )
    assert browser.evaluate("location.hash") == f"#verdict={value}"
    focus(browser, '.ledger-filters button[type="reset"]')
    browser.press("Enter")
    assert browser.evaluate(SHOWN) == total
    assert browser.evaluate("location.hash") == ""


def test_groups_combine_and_the_address_keeps_them(built: Path, browser: Browser) -> None:
    address = (built / "book" / "ledger.html").as_uri()
    browser.open(address)
    verdict, kind = browser.evaluate(
        "(({dataset: d}) => [d.verdict, d.kind])(document.querySelector('.ledger tbody tr'))"
    )
    browser.open(f"{address}#verdict={verdict}&kind={kind}")
    selector = f'tr[data-verdict="{verdict}"][data-kind="{kind}"]'
    assert browser.evaluate(SHOWN) == browser.evaluate(f"document.querySelectorAll('{selector}').length") > 0
    assert browser.evaluate(f"document.querySelector('input[value=\"{kind}\"]').checked")
    browser.open(f"{address}#verdict=no-such-verdict")
    assert browser.evaluate(SHOWN) == browser.evaluate(ROWS), "an unknown word in the address hides nothing"


def test_row_anchors_show_the_whole_ledger(built: Path, browser: Browser) -> None:
    address = (built / "book" / "ledger.html").as_uri()
    browser.open(address)
    anchor = browser.evaluate("document.querySelector('.ledger tbody tr:last-child').id")
    browser.open(f"{address}#{anchor}")
    assert browser.evaluate(SHOWN) == browser.evaluate(ROWS)
    assert browser.evaluate("document.querySelector(':target').getBoundingClientRect().top < innerHeight")


def test_cover_leads_into_the_filtered_ledger(built: Path, browser: Browser) -> None:
    browser.open((built / "book" / "intro.html").as_uri())
    counts = browser.evaluate(
        "[...document.querySelectorAll('ul.counts a')].map((a) => [a.href, +a.innerText.split(/\\s/)[0]])"
    )
    assert len(counts) == 6
    address, count = next((address, count) for address, count in counts if count)
    browser.open(address)
    assert browser.evaluate(SHOWN) == count


def test_ledger_is_a_plain_table_without_scripts(built: Path, browser: Browser) -> None:
    browser.open((built / "book" / "ledger.html").as_uri(), scripts=False)
    assert browser.evaluate(SHOWN) == browser.evaluate(ROWS) > 0
    assert not browser.evaluate("document.querySelector('form.ledger-filters').checkVisibility()")


def test_search_works_from_a_folder(built: Path, browser: Browser) -> None:
    browser.open((built / "search.html").as_uri() + "?q=verdict")
    browser.wait("document.querySelectorAll('#search-results li').length > 0")
