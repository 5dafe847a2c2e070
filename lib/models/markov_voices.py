"""A baseline without a network: every voice by itself, its next token given what it sounds and where in the beat.

Counts with additive smoothing towards the voice's own distribution at that place in the beat. Chapter 07.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lib.errors import BookError


class MarkovVoices:
    """First-order chains of K voices over `states` sounding pitches and `phases` places in the beat.

    vocabulary: tokens, the last of which pads and is never drawn. strength: pseudo-counts of the smoothing.
    """

    def __init__(self, codebooks: int, vocabulary: int, states: int, phases: int, strength: float = 2.0) -> None:
        if strength <= 0:
            raise BookError(f"strength={strength}; unseen tokens need some pseudo-counts")
        self.codebooks, self.vocabulary, self.phases, self.strength = codebooks, vocabulary, phases, strength
        self.counts = np.zeros((codebooks, phases, states, vocabulary))

    def fit(self, tokens: Sequence[np.ndarray], sounding: Sequence[np.ndarray]) -> MarkovVoices:
        """Count tokens [K, T] by what sounded one step before, as a state 0..states - 1, [K, T]. Returns itself."""
        for piece, heard in zip(tokens, sounding, strict=True):
            phase = np.arange(1, piece.shape[1]) % self.phases
            for k in range(self.codebooks):
                np.add.at(self.counts[k], (phase, heard[k, :-1], piece[k, 1:]), 1)
        return self

    def probabilities(self, k: int, phase: np.ndarray, heard: np.ndarray) -> np.ndarray:
        """The distribution of voice k's next token at these phases after these states, [..., vocabulary]."""
        place = self.counts[k].sum(axis=1) + 1e-3
        place[:, -1] = 0
        prior = place / place.sum(axis=-1, keepdims=True)
        seen = self.counts[k][phase, heard]
        return (seen + self.strength * prior[phase]) / (seen.sum(axis=-1, keepdims=True) + self.strength)

    def nll(self, tokens: Sequence[np.ndarray], sounding: Sequence[np.ndarray]) -> float:
        """Mean negative log-likelihood in nats of all tokens but each piece's first."""
        total, count = 0.0, 0
        for piece, heard in zip(tokens, sounding, strict=True):
            phase = np.arange(1, piece.shape[1]) % self.phases
            for k in range(self.codebooks):
                chances = self.probabilities(k, phase, heard[k, :-1])
                total -= np.log(chances[np.arange(len(phase)), piece[k, 1:]]).sum()
                count += len(phase)
        return total / count

    def sample(
        self,
        prompt: np.ndarray,
        steps: int,
        sounding: Callable[[np.ndarray], np.ndarray],
        generator: np.random.Generator,
    ) -> np.ndarray:
        """Continue tokens [K, P] to [K, steps]. sounding: gives tokens [K, t] their states minus one, as in `fit`."""
        tokens = np.concatenate([prompt, np.zeros((self.codebooks, steps - prompt.shape[1]), prompt.dtype)], axis=1)
        for step in range(prompt.shape[1], steps):
            heard = sounding(tokens[:, :step])[:, -1] + 1
            for k in range(self.codebooks):
                chances = self.probabilities(k, np.array(step % self.phases), heard[k])
                tokens[k, step] = generator.choice(self.vocabulary, p=chances)
        return tokens
