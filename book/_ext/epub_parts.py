"""What the EPUB needs beyond the site: formulas as MathML, HTML that is also XML, no style sheet that comes too late.

Readers of an EPUB show MathML by themselves, run no scripts, and refuse a page that is not well-formed XML. docutils
translates the LaTeX; a formula beyond its reach stops the build with the place and the formula.
"""

from __future__ import annotations

import html
import re
from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.writers.html5 import HTML5Translator

_VOID = re.compile(r"<(br|hr|img|input|col|wbr|source)\b((?:[^>\"']|\"[^\"]*\"|'[^']*')*?)\s*/?>", re.IGNORECASE)
_UNKNOWN = {
    r"\\dots(?![A-Za-z])": r"\\ldots",
    r"\\[bB]igg?[lr]?(?![A-Za-z])": "",
}  # MathJax knows them, docutils does not
_HTML_NAME = re.compile(r"&(?!(?:lt|gt|amp|quot|apos);)[A-Za-z]\w*;")  # names that HTML knows and XML does not


def _mathml(node: nodes.Element, block: bool) -> str:
    latex = node.astext()
    for command, known in _UNKNOWN.items():
        latex = re.sub(command, known, latex)
    try:
        text = latex2mathml.tex2mathml(latex, as_block=block)
    except (ValueError, SyntaxError) as error:
        raise SphinxError(f"ERROR: {node.source}: no MathML for {node.astext()!r}: {error}") from None
    return well_formed(text)


def well_formed(text: str) -> str:
    """HTML with its void elements closed and its named characters written out, as XML wants them."""
    text = _VOID.sub(r"<\1\2/>", text)
    return _HTML_NAME.sub(lambda name: html.unescape(name[0]), text)


def _visit_inline(self: HTML5Translator, node: nodes.Element) -> None:
    self.body.append(_mathml(node, block=False))
    raise nodes.SkipNode


def _visit_block(self: HTML5Translator, node: nodes.Element) -> None:
    self.body.append(f'<div class="math">{_mathml(node, block=True)}</div>')
    raise nodes.SkipNode


def _close_raw_html(app: Sphinx, tree: nodes.document, page: str) -> None:
    """Outputs of cells and HTML in the text come as browsers like it."""
    for node in tree.findall(nodes.raw):
        node.children = [nodes.Text(well_formed(node.astext()))]


def _drop_late_style(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: nodes.document | None
) -> None:
    """MyST-NB copies its style sheet when the build is over: the EPUB is closed by then, so no page may name it."""
    styles = context.get("css_files", [])
    context["css_files"] = [style for style in styles if "mystnb." not in str(getattr(style, "filename", style))]


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the renderer `mathml` to Sphinx (`html_math_renderer`) and mend what the EPUB cannot hold."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    app.connect("doctree-resolved", _close_raw_html)
    app.connect("html-page-context", _drop_late_style)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
