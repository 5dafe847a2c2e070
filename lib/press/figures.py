"""Figures that a screen reader, a test and a printer can all read.

`show` emits the picture together with one text that says what a sighted reader would conclude and which series are
drawn; regression tests compare that text exactly, and the drawn values by tolerance.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from lib.errors import BookError
from lib.press import current
from lib.press.results import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours that stay apart for colour-blind readers and in grey (Okabe and Ito 2008), darkest first.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLE = {
    "axes.prop_cycle": f"cycler('color', {list(PALETTE)})",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 12,
    "figure.dpi": 100,
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "legend.frameon": False,
    "svg.hashsalt": "book",
}
MIN_ALT = 20  # characters: shorter than this says nothing a reader could use


def subplots(rows: int = 1, columns: int = 1, *, width: float = 7.0, height: float = 4.0, **options: Any) -> Any:
    """A figure and its axes in the book's style, sizes in inches; further options go to matplotlib's `subplots`."""
    import matplotlib.pyplot as plt

    plt.rcParams.update(STYLE)
    return plt.subplots(rows, columns, figsize=(width, height), layout="constrained", **options)


def show(fig: Figure, *, alt: str, name: str | None = None) -> None:
    """Show a figure with its alt text and keep a summary of what it draws.

    Raises BookError when the alt text is missing or too short, when the figure draws nothing, or when `name`
    (by default figure-1, figure-2, ...) is taken.
    """
    alt = " ".join(alt.split())
    if len(alt) < MIN_ALT:
        raise BookError(f"alt text {alt!r} is too short; say in a sentence what a sighted reader would conclude")
    run = current.get()
    name = name or f"figure-{len(run.series) + 1}"
    if name in run.series:
        raise BookError(f"a figure named {name!r} was shown already; give each figure its own name")
    drawn = series(fig)
    if not drawn:
        raise BookError(f"figure {name!r} draws no data; plot something or leave it out")
    run.series[name] = {label: summary(xs, f"{name}/{label}") for label, xs in drawn.items()}
    lengths = ", ".join(f"{label} ({len(xs)})" for label, xs in drawn.items())
    publish({"image/png": png(fig), "text/plain": f"Figure: {alt}\nSeries: {lengths}"})
    _close(fig)


def series(fig: Figure) -> dict[str, list[float]]:
    """Every drawn series as one flat list of numbers: lines, points, bars and images, named by axes and label."""
    import numpy as np

    found: dict[str, list[float]] = {}

    def add(place: str, label: str, kind: str, index: int, values: Any) -> None:
        numbers = np.asarray(values, dtype=float).ravel()
        numbers = numbers[np.isfinite(numbers)]
        if numbers.size:
            base = place + (str(label) if label and not str(label).startswith("_") else f"{kind} {index}")
            found[base if base not in found else f"{base} ({kind} {index})"] = numbers.tolist()

    for number, axes in enumerate(fig.axes, 1):
        place = f"{axes.get_title() or f'axes {number}'}: " if len(fig.axes) > 1 else ""
        for index, line in enumerate(axes.lines, 1):
            add(place, line.get_label(), "line", index, line.get_xydata())
        for index, collection in enumerate(axes.collections, 1):
            offsets = np.ma.filled(np.ma.asarray(collection.get_offsets(), dtype=float), np.nan)
            paths = [path.vertices for path in collection.get_paths()] if len(offsets) <= 1 else []
            add(place, collection.get_label(), "points", index, np.concatenate(paths) if paths else offsets)
        for index, bars in enumerate(axes.containers, 1):
            heights = [(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in bars if hasattr(p, "get_height")]
            add(place, bars.get_label(), "bars", index, heights)
        for index, image in enumerate(axes.images, 1):
            add(place, image.get_label(), "image", index, np.ma.filled(np.ma.asarray(image.get_array(), float), np.nan))
    return found


def summary(values: list[float], where: str) -> dict[str, Any]:
    """What is kept of a drawn series: length, ends, extremes, quantiles, and two moments that any one point moves."""
    import numpy as np

    xs = np.asarray(values, dtype=float)
    kept = {
        "n": xs.size,
        "first": xs[0],
        "last": xs[-1],
        "min": xs.min(),
        "max": xs.max(),
        "quantiles": np.quantile(xs, [0.1, 0.25, 0.5, 0.75, 0.9]),
        "mean": xs.mean(),
        "ramp": (xs * np.linspace(0.5, 1.5, xs.size)).mean(),
    }
    return plain(kept, where)


def png(fig: Figure) -> bytes:
    """The figure as PNG: white ground, 100 dots per inch, nothing in it that changes from build to build.

    It gets a palette of its own 256 colours where that is smaller: a chart loses nothing that one sees.
    """
    from PIL import Image

    full, light = io.BytesIO(), io.BytesIO()
    fig.savefig(full, format="png", dpi=100, facecolor="white", metadata={"Software": None})
    Image.open(full).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(light, "PNG", optimize=True)
    return min(full.getvalue(), light.getvalue(), key=len)


def publish(bundle: dict[str, Any]) -> None:
    """Show a bundle by MIME type where there is a notebook; in a plain process its text goes to standard output."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(bundle["text/plain"])
    else:
        display(bundle, raw=True)


def _close(fig: Figure) -> None:
    import matplotlib.pyplot as plt

    plt.close(fig)
