"""Words that a recogniser hears without any network, how many of them are wrong, and whether they are words at all.

PocketSphinx, with the US English models that its package brings: hidden Markov models, a trigram grammar, over 100,000
words. It is far from what recognisers can do today. So no error rate of it means anything alone: it stands beside the
rate of the recording that nothing was done to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from lib.analysis.statistics import bootstrap_interval
from lib.errors import BookError
from lib.models.log_mel import MelConfig
from lib.models.resampling import resampled

if TYPE_CHECKING:
    from pocketsphinx import Decoder

HEARD = 16_000  # samples a second of its acoustic model


def recognised(wave: np.ndarray, rate: int = MelConfig.rate) -> list[str]:
    """The words heard in samples [n]; none in noise, perhaps some that nobody said.

    The whole recording is normalised at once, so no recording changes how the next one is heard. Source: Huggins-Daines
    et al., PocketSphinx (2006), version 5.1.1 and its models. Used by chapters 09 and 10.
    """
    decoder = _decoder()
    pulses = np.clip(resampled(wave, rate, HEARD), -1, 1) * 32_767
    decoder.start_utt()
    decoder.process_raw(pulses.astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    best = decoder.hyp()
    return words(best.hypstr) if best else []


def words(text: str) -> list[str]:
    """The words of a text in lower case: letters and apostrophes, split at all else. Numbers must be spelled out.

    Raises BookError for a digit, which no recogniser of words would write.
    """
    if re.search(r"\d", text):
        raise BookError(f"the text {text[:60]!r} holds digits; spell numbers as they are read")
    return re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", text.lower().replace("\u2019", "'"))


def edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """The fewest insertions, deletions and substitutions that make the one the other.

    Source: Levenshtein (1966); Wagner and Fischer (1974), algorithm X.
    """
    row = list(range(len(other) + 1))
    for i, left in enumerate(one, 1):
        before, row = row, [i]
        for j, right in enumerate(other, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (left != right)))
    return row[-1]


def word_errors(heard: Sequence[str], text: str) -> tuple[int, int]:
    """Errors, and words of the text that was read. There can be more errors than words."""
    said = words(text)
    return edit_distance(heard, said), len(said)


def share_wrong(errors: Sequence[int], said: Sequence[int], generator: np.random.Generator) -> dict[str, float]:
    """Word error rate of recordings, errors [n] of said [n] words: counts, rate, and the ends of its 95 % interval.

    The interval resamples recordings, because errors within one are not independent. Errors may be differences: then
    the rate is that of the errors that one treatment adds. Raises BookError for fewer than two recordings. Chapter 10.
    """
    counts = np.stack([errors, said], axis=1)
    low, high = bootstrap_interval(counts, generator, lambda rows: rows[:, 0].sum() / rows[:, 1].sum())
    wrong, total = (int(part) for part in counts.sum(0))
    return {"errors": wrong, "words": total, "rate": wrong / total, "low": low, "high": high}


def misheard(
    versions: Mapping[str, Sequence[np.ndarray]], texts: Sequence[str], generator: np.random.Generator
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """How much is heard wrong of recordings in several versions, and how much more than in "original".

    versions: recordings by name, each with its text in the same place. Returns `share_wrong` of each version's errors,
    and of its errors less those of the original. Used by chapter 10.
    """
    wrong = {
        name: np.array([word_errors(recognised(wave), text) for wave, text in zip(waves, texts, strict=True)])
        for name, waves in versions.items()
    }  # [recordings, errors and words]
    plain, said = wrong["original"].T
    rates = {name: share_wrong(rows[:, 0], said, generator) for name, rows in wrong.items()}
    return rates, {name: share_wrong(rows[:, 0] - plain, said, generator) for name, rows in wrong.items()}


def known_pairs(heard: Sequence[Sequence[str]], texts: Sequence[str]) -> float:
    """Share of neighbouring words heard that stand beside each other in the texts; 0 when no two were heard.

    A recogniser makes words of any sound, and most of them are common; pairs of them are not common by chance. Used by
    chapter 09.
    """
    known = {pair for text in texts for pair in _pairs(words(text))}
    found = [pair in known for said in heard for pair in _pairs(said)]
    return float(np.mean(found)) if found else 0.0


def _pairs(said: Sequence[str]) -> list[tuple[str, str]]:
    return list(pairwise(said))


@cache
def _decoder() -> Decoder:
    try:
        from pocketsphinx import Decoder
    except ImportError:
        raise BookError(
            "the recogniser needs the package pocketsphinx; `pip install -r requirements-data.txt --no-deps`"
        ) from None
    return Decoder(samprate=HEARD, loglevel="FATAL")  # by default with the models of the package
