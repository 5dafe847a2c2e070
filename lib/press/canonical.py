"""An executed notebook becomes bytes that do not change from build to build."""

from __future__ import annotations

import json
from typing import Any

FIGURE = "Figure: "  # how the text of a figure begins (figures.show)


def canonical(notebook: Any, book: dict[str, str]) -> bytes:
    """The notebook as canonical bytes: outputs in, no timings, alt texts in cell metadata, digests in `book`."""
    notebook.metadata = {
        "book": book,
        "kernelspec": notebook.metadata["kernelspec"],
        "language_info": {"name": "python"},
    }
    count = 0
    for cell in notebook.cells:
        cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        cell.outputs = merged([clean(output) for output in cell.outputs])
        alt = next((text for text in map(alt_text, cell.outputs) if text), None)
        if alt:
            cell.metadata["mystnb"] = {"image": {"alt": alt}}
    from nbformat.v4.rwbase import split_lines

    notebook = split_lines(notebook)  # long texts as lists of lines, so that a difference can be read
    return (json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def clean(output: Any) -> Any:
    """An output without what varies: execution counts and transient metadata."""
    if "execution_count" in output:
        output["execution_count"] = None
    if "metadata" in output:
        output["metadata"] = {}
    return output


def merged(outputs: list[Any]) -> list[Any]:
    """Neighbouring pieces of one stream as one output: how a text is cut depends on timing."""
    kept: list[Any] = []
    for output in outputs:
        if kept and output["output_type"] == "stream" == kept[-1]["output_type"] and output["name"] == kept[-1]["name"]:
            kept[-1]["text"] += output["text"]
        else:
            kept.append(output)
    return kept


def alt_text(output: Any) -> str | None:
    """The alt text of a figure's output; None for any other output."""
    text = output.get("data", {}).get("text/plain", "") if "image/png" in output.get("data", {}) else ""
    text = "".join(text)
    return text.removeprefix(FIGURE).split("\nSeries: ")[0] if text.startswith(FIGURE) else None
