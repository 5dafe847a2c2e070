"""Formulas as MathML, for the EPUB: its readers show MathML by themselves and run no scripts.

docutils translates the LaTeX; a formula beyond its reach stops the build with the place and the formula.
"""

from __future__ import annotations

from docutils import nodes
from docutils.utils.math import MathError, latex2mathml, pick_math_environment
from sphinx.errors import SphinxError


def _mathml(node: nodes.Element, block: bool) -> str:
    formula = node.astext()
    if block:
        environment = pick_math_environment(formula)
        if environment != "equation":
            formula = rf"\begin{{{environment}}}{formula}\end{{{environment}}}"
    try:
        return latex2mathml.tex2mathml(formula, as_block=block)
    except (MathError, SyntaxError) as error:
        raise SphinxError(f"ERROR: {node.source}:{node.line}: no MathML for {formula!r}: {error}") from None


def _visit_inline(self, node: nodes.Element) -> None:
    self.body.append(_mathml(node, block=False))
    raise nodes.SkipNode


def _visit_block(self, node: nodes.Element) -> None:
    self.body.append(f'<div class="math">{_mathml(node, block=True)}</div>')
    raise nodes.SkipNode


def setup(app) -> dict[str, bool]:
    """Offer the renderer `mathml` to Sphinx (`html_math_renderer`)."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
