"""How2Sign as examples: folders of OpenPose frames, the caption table, and a vocabulary of words.

How2Sign (Duarte et al., 2021) is continuous American Sign Language with English captions, CC BY-NC 4.0. It is never
bundled and has no stable direct address, so a reader who has it names its folder. Chapter 02, "The full run".
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lib.datasets import signing
from lib.errors import BookError

FIRST = 3
"""Token of the commonest word; 0 is PAD, 1 begins a sequence, 2 is any word outside the vocabulary."""

UNKNOWN = 2
"""The token of a word outside the vocabulary."""


@dataclass(frozen=True)
class Captioned:
    """Clips with English captions."""

    clips: tuple[np.ndarray, ...]
    """float32 [T, 1629] each, scaled by the shoulders; what was not found is 0."""
    tokens: tuple[tuple[int, ...], ...]
    """Word tokens of each caption."""
    words: tuple[str, ...]
    """The vocabulary, commonest first: word k is token FIRST + k."""


def caption_words(text: str) -> list[str]:
    """Lower-case words of a caption, apostrophes kept."""
    return re.findall(r"[a-z0-9']+", text.lower())


def vocabulary(captions: Sequence[str], size: int) -> tuple[str, ...]:
    """The commonest words, ties in alphabetic order, so many that the tokens below FIRST make `size` in all."""
    counts = Counter(word for text in captions for word in caption_words(text))
    return tuple(sorted(counts, key=lambda word: (-counts[word], word))[: max(0, size - FIRST)])


def load(folder: Path | str, captions: Path | str, size: int = 5000, longest: int = 512) -> Captioned:
    """Every captioned clip that `folder` holds, one subfolder of JSON frames a clip, named by SENTENCE_NAME.

    captions: the set's own tab-separated table with SENTENCE_NAME and SENTENCE. size: of the vocabulary, the post's
    5,000. Clips are cut at `longest` frames. Raises BookError when nothing matches or the table is another.
    """
    try:
        with Path(captions).open(encoding="utf-8", newline="") as file:
            rows = {row["SENTENCE_NAME"]: row["SENTENCE"] for row in csv.DictReader(file, delimiter="\t")}
    except (OSError, KeyError) as error:
        raise BookError(f"{captions} is no How2Sign caption table ({error}); give how2sign_*.csv") from error
    names = sorted(path.name for path in Path(folder).glob("*") if path.is_dir() and path.name in rows)
    if not names:
        raise BookError(f"no subfolder of {folder} is named in {Path(captions).name}; give openpose_output/json")
    words = vocabulary([rows[name] for name in names], size)
    number = {word: FIRST + place for place, word in enumerate(words)}
    frames = [signing.how2sign((Path(folder) / name).glob("*.json"))[:longest] for name in names]
    tokens = [tuple(number.get(word, UNKNOWN) for word in caption_words(rows[name])) for name in names]
    return Captioned(tuple(map(signing.everything, frames)), tuple(tokens), words)
