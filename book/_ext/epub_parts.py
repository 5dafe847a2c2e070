"""What the EPUB needs beyond the site: formulas as MathML, and no style sheet that is written too late to go in.

Readers of an EPUB show MathML by themselves and run no scripts. docutils translates the LaTeX; a formula beyond its
reach stops the build with the place and the formula.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.writers.html5 import HTML5Translator


def _mathml(node: nodes.Element, block: bool) -> str:
    try:
        return latex2mathml.tex2mathml(node.astext(), as_block=block)
    except (ValueError, SyntaxError) as error:
        raise SphinxError(f"ERROR: {node.source}: no MathML for {node.astext()!r}: {error}") from None


def _visit_inline(self: HTML5Translator, node: nodes.Element) -> None:
    self.body.append(_mathml(node, block=False))
    raise nodes.SkipNode


def _visit_block(self: HTML5Translator, node: nodes.Element) -> None:
    self.body.append(f'<div class="math">{_mathml(node, block=True)}</div>')
    raise nodes.SkipNode


def _drop_late_style(
    app: Sphinx, page: str, template: str, context: dict[str, Any], tree: nodes.document | None
) -> None:
    """MyST-NB copies its style sheet when the build is over: the EPUB is closed by then, so no page may name it."""
    styles = context.get("css_files", [])
    context["css_files"] = [style for style in styles if "mystnb." not in str(getattr(style, "filename", style))]


def setup(app: Sphinx) -> dict[str, bool]:
    """Offer the renderer `mathml` to Sphinx (`html_math_renderer`) and trim the pages' style sheets."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    app.connect("html-page-context", _drop_late_style)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
