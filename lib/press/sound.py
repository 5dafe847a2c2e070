"""Sounds that play in the page, in an e-book and in JupyterLab, with nothing fetched and nothing scripted.

`show` emits a player that carries its own MP3, a caption, and one text that regression tests compare; the loudness
over time goes to the results file, where it is compared by tolerance, since a trained model's samples are never the
same to the bit on two machines.
"""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING

import numpy as np

from lib.errors import BookError
from lib.press import current
from lib.press.figures import MIN_ALT, publish, summary

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # samples per second that MP3 knows
LONGEST = 20.0  # seconds: a page must stay light
WINDOWS_PER_SECOND = 10  # of the loudness that is kept


def show(samples: ArrayLike, rate: int, *, alt: str, name: str | None = None) -> None:
    """Show a player for mono `samples` (shape [n], from -1 to 1) at `rate` samples per second.

    alt: what one hears, for those who cannot; it is the caption too. name: by default sound-1, sound-2, ... Raises
    BookError for samples of another shape, silent, not finite, beyond -1 to 1 or longer than 20 seconds, for a rate
    that MP3 does not know, and for an alt text or a name that `figures.show` would refuse.
    """
    alt = " ".join(alt.split())
    if len(alt) < MIN_ALT:
        raise BookError(f"alt text {alt!r} is too short; say in a sentence what one hears")
    wave = _checked(np.asarray(samples, dtype=np.float64), rate)
    run = current.get()
    name = name or f"sound-{len(run.series) + 1}"
    if name in run.series:
        raise BookError(f"something named {name!r} was shown already; give each sound its own name")
    run.series[name] = {"loudness": summary(loudness(wave, rate).tolist(), f"{name}/loudness")}
    publish({"text/html": player(wave, rate, alt), "text/plain": f"Sound: {alt}\nLength: {wave.size / rate:.1f} s"})


def loudness(wave: np.ndarray, rate: int) -> np.ndarray:
    """Root mean square of each tenth of a second; wave [n] -> [ceil(n * 10 / rate)]."""
    edges = np.arange(0, wave.size, rate / WINDOWS_PER_SECOND).astype(int)
    counts = np.diff(np.append(edges, wave.size))
    return np.sqrt(np.add.reduceat(wave**2, edges) / counts)


def player(wave: np.ndarray, rate: int, alt: str) -> str:
    """The player as HTML: an `audio` element with its MP3 inside, and the caption."""
    caption, data = html.escape(alt), base64.b64encode(mp3(wave, rate)).decode()
    return (
        f'<figure class="sound"><audio controls="controls" preload="metadata" aria-label="{caption}" '
        f'src="data:audio/mpeg;base64,{data}"></audio><figcaption>{caption}</figcaption></figure>'
    )


def mp3(wave: np.ndarray, rate: int) -> bytes:
    """Mono MP3 of samples from -1 to 1."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, format="MP3", compression_level=0.5)
    return buffer.getvalue()


def _checked(wave: np.ndarray, rate: int) -> np.ndarray:
    if wave.ndim != 1 or not wave.size:
        raise BookError(f"samples have shape {list(wave.shape)}; a player takes one channel, shape [n]")
    if rate not in RATES:
        raise BookError(f"rate {rate} is none that MP3 knows; resample to one of {', '.join(map(str, RATES))}")
    if not np.isfinite(wave).all() or np.abs(wave).max() > 1:
        raise BookError(f"samples reach {np.abs(wave).max()}; they must be finite and lie between -1 and 1")
    if not wave.any():
        raise BookError("samples are all zero; a player for silence says nothing")
    if wave.size > LONGEST * rate:
        raise BookError(f"samples last {wave.size / rate:.1f} s; show at most {LONGEST:.0f} s and keep the page light")
    return wave
