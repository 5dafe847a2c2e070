"""A critic: a small classifier that has seen graded answers about a slice of the table, and rewards by its opinion.

The author's plan is a critic trained on a held-out slice of the taxonomy, in place of hand-written bands. Ours is a
logistic regression over hashed pairs of a prompt's word and a piece of the completion, so that it can learn which code
stands for which word, and over a few marks of form. It gives a number from -1 to 1 that no rule wrote; where it errs, a
policy that is trained on it will find out. Chapter 01, "Pushing further".
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from lib.errors import BookError


class Critic:
    """Learns from (prompt, completion, right or not) and rewards a completion by 2 p - 1.

    sizes: number of hash buckets. strength: inverse of the penalty on weights (C of scikit-learn).
    """

    def __init__(self, sizes: int = 2**13, strength: float = 3.0) -> None:
        from sklearn.feature_extraction import FeatureHasher
        from sklearn.linear_model import LogisticRegression

        self._hasher = FeatureHasher(sizes, input_type="string", alternate_sign=False)
        self._model = LogisticRegression(C=strength, max_iter=300)
        self._fitted = False

    def fit(self, prompts: Sequence[str], completions: Sequence[str], right: Sequence[bool]) -> Critic:
        """Learn from graded answers; raises BookError when they are of one grade only or of unlike number."""
        marks = np.asarray(right, dtype=bool)
        if not len(prompts) == len(completions) == len(marks) or marks.all() or not marks.any():
            raise BookError(f"{len(marks)} grades, {marks.sum()} right: give right and wrong answers, one grade each")
        self._model.fit(self._hasher.transform(map(features, prompts, completions)), marks)
        self._fitted = True
        return self

    def reward(self, prompt: str, completion: str) -> float:
        """Between -1 (surely wrong) and 1 (surely right)."""
        return float(self.rewards([prompt], [completion])[0])

    def rewards(self, prompts: Sequence[str], completions: Sequence[str]) -> np.ndarray:
        """Rewards [N] of N prompts with one completion each."""
        if not self._fitted:
            raise BookError("this critic has learned nothing yet; call fit first")
        table = self._hasher.transform(map(features, prompts, completions))
        return 2 * self._model.predict_proba(table)[:, 1] - 1


def features(prompt: str, completion: str) -> list[str]:
    """What the critic looks at: marks of form, and each word of the prompt beside each piece of the completion."""
    words = set(re.findall(r"[A-Za-z0-9_]+", prompt))
    shape = re.sub(r"[A-Z]+", "A", re.sub(r"[a-z]+", "a", re.sub(r"[0-9]+", "0", completion)))
    said = re.findall(r"[A-Za-z0-9_]+", completion)[:12]
    pieces = {text for word in said for text in (word.lower() if word.islower() else word,)}
    if len(said) == 1 and said[0].isupper():  # a tag: its pieces of one to four characters
        pieces |= {said[0][i : i + n] for n in range(1, 5) for i in range(len(said[0]) - n + 1)}
    length = f"length {min(len(said), 6)}"
    repeated = f"share {min(len(set(said) & words), 4)}"
    crossed = [f"{word}|{piece}" for word in sorted(words) for piece in sorted(pieces)]
    return [f"shape {shape[:24]}", length, repeated, *sorted(pieces), *crossed]
