"""What a built page loads, read from its HTML and its style sheets without opening it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

_LOADS = {
    ("script", "src"), ("img", "src"), ("img", "srcset"), ("iframe", "src"), ("source", "src"), ("source", "srcset"),
    ("video", "src"), ("video", "poster"), ("audio", "src"), ("embed", "src"), ("object", "data"), ("track", "src"),
    ("input", "src"), ("image", "href"), ("use", "href"), ("form", "action"), ("base", "href"),
}  # fmt: skip
_QUIET_LINKS = {"author", "canonical", "license", "next", "prev", "search", "alternate"}  # named, never fetched
_CSS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")
_CODE = re.compile(r"""(?:import\s*\(|importScripts\(|fetch\(|\.src\s*=|\.href\s*=)\s*["'`](https?:)?//[^"'`]+""")


@dataclass
class Page(HTMLParser):
    """The addresses that a page loads, its pictures' alt texts, and what its inline scripts would fetch."""

    text: str
    loads: list[str] = field(default_factory=list)
    alts: list[str | None] = field(default_factory=list)
    _inside: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what this tag loads."""
        values = dict(attrs)
        self._inside = tag
        for name, value in attrs:
            if value and (tag, name) in _LOADS:
                self.loads += [part.split()[0] for part in value.split(",")] if name == "srcset" else [value]
            elif value and name == "style":
                self.loads += in_css(value)
        if tag == "link" and not set((values.get("rel") or "").split()) & _QUIET_LINKS:
            self.loads.append(values.get("href") or "")
        if tag == "meta" and (values.get("http-equiv") or "").lower() == "refresh":
            self.loads.append((values.get("content") or "").partition("url=")[2])
        if tag == "img":
            self.alts.append(values.get("alt"))

    def handle_data(self, data: str) -> None:
        """Collect what an inline style or script loads."""
        if self._inside == "style":
            self.loads += in_css(data)
        elif self._inside == "script":
            self.loads += [match[0].split("//", 1)[1].join(["//", ""]) for match in _CODE.finditer(data)]

    def handle_endtag(self, tag: str) -> None:
        """Leave a style or a script."""
        self._inside = ""


def in_css(text: str) -> list[str]:
    """The addresses that a style sheet loads."""
    return [address or imported for address, imported in _CSS.findall(text)]


def outside(addresses: list[str]) -> list[str]:
    """Those addresses that leave the site."""
    return [address for address in addresses if re.match(r"(?:[a-z][a-z0-9+.-]*:)?//", address.strip(), re.IGNORECASE)]
