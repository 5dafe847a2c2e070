"""Answering from the table without a model: the retrieval baseline of chapter 01.

A prompt that holds a tag of the table gets its description; any other gets the tag of the nearest description, or a
refusal when even that is far. The table is the one that the model was trained on, all splits of it: retrieval needs
no training, so nothing is held out from it. Only its threshold is chosen, on validation questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from lib.errors import BookError

Method = Literal["words", "letters", "edit"]


class TagRetriever:
    """A table of tags and descriptions that can be asked.

    tags, descriptions: the rows. method: "words" (TF-IDF cosine of words; a word that the table lacks is not seen),
    "letters" (the same of pieces of two to four letters within words, which forgives slips) or "edit" (one minus the
    edits per letter of the best matching stretch of the prompt; slow). threshold: the similarity below which it
    refuses; 0 never refuses.
    """

    def __init__(
        self,
        tags: Sequence[str],
        descriptions: Sequence[str],
        method: Method = "words",
        threshold: float = 0.0,
        refusal: str = "not in the table",
    ):
        if len(tags) != len(descriptions) or not tags:
            raise BookError(f"{len(tags)} tags and {len(descriptions)} descriptions: give one description a tag")
        if method not in get_args(Method):
            raise BookError(f"no retrieval method {method!r}: choose {', '.join(get_args(Method))}")
        self.tags, self.descriptions = list(tags), list(descriptions)
        self.method, self.threshold, self.refusal = method, threshold, refusal
        self._row = {tag: place for place, tag in enumerate(self.tags)}
        if method != "edit":
            from sklearn.feature_extraction.text import TfidfVectorizer

            pieces = {"analyzer": "char_wb", "ngram_range": (2, 4)} if method == "letters" else {}
            self._vectors = TfidfVectorizer(sublinear_tf=True, **pieces)
            self._matrix = self._vectors.fit_transform(self.descriptions)
        else:
            self._lengths = np.array([len(text) for text in self.descriptions])
            width = int(self._lengths.max())
            self._letters = np.zeros((len(self.descriptions), width), dtype=np.int32)
            for row, text in enumerate(self.descriptions):
                self._letters[row, : len(text)] = [ord(letter) for letter in text]

    def similarities(self, prompt: str) -> np.ndarray:
        """How near each description is to a prompt: [rows], at most 1."""
        if self.method != "edit":
            return np.asarray((self._vectors.transform([prompt]) @ self._matrix.T).todense())[0]
        return 1 - self._stretch_edits(prompt.lower()) / self._lengths

    def nearest(self, prompt: str) -> tuple[str, float]:
        """The tag of the nearest description and its similarity; among equals the longest description wins."""
        near = self.similarities(prompt)
        best = np.flatnonzero(near >= near.max() - 1e-9)
        place = max(best, key=lambda row: len(self.descriptions[row]))
        return self.tags[place], float(near[place])

    def answer(self, prompt: str) -> str:
        """The description of a tag in the prompt, if exactly one is there alone; else the nearest tag, or a refusal."""
        inside = [word for word in prompt.split() if word in self._row]
        tag, near = self.nearest(prompt)
        if len(inside) == 1:
            return self.descriptions[self._row[inside[0]]]
        if len(inside) > 1:  # a choice: the nearest of those on offer
            similar = self.similarities(prompt)
            return max(inside, key=lambda word: similar[self._row[word]])
        return tag if near >= self.threshold else self.refusal

    def fit_threshold(self, known: Sequence[str], unknown: Sequence[str]) -> float:
        """Set the threshold that best parts prompts with a tag from prompts without one, by balanced accuracy.

        Give validation prompts. Returns the threshold, halfway between two similarities.
        """
        if not known or not unknown:
            raise BookError("a threshold needs prompts of both sides: some with a tag, some without")
        sides = [np.array([self.nearest(prompt)[1] for prompt in side]) for side in (known, unknown)]
        levels = np.unique(np.concatenate(sides))
        cuts = np.concatenate([[0.0], (levels[1:] + levels[:-1]) / 2])
        scores = [np.mean(sides[0] >= cut) + np.mean(sides[1] < cut) for cut in cuts]
        self.threshold = float(cuts[int(np.argmax(scores))])
        return self.threshold

    def _stretch_edits(self, prompt: str) -> np.ndarray:
        """Edits (insert, drop, replace) from each description to its best stretch of the prompt: int [rows].

        Sellers' recursion, all rows of the table at once: one column per letter of the prompt.
        """
        rows, width = self._letters.shape
        column = np.tile(np.arange(width + 1), (rows, 1))
        steps = np.arange(width + 1)
        best = column[np.arange(rows), self._lengths]
        for letter in prompt:
            fresh = np.empty_like(column)
            fresh[:, 0] = 0
            fresh[:, 1:] = np.minimum(column[:, :-1] + (self._letters != ord(letter)), column[:, 1:] + 1)
            column = np.minimum.accumulate(fresh - steps, axis=1) + steps
            best = np.minimum(best, column[np.arange(rows), self._lengths])
        return best
