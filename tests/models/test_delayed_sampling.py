"""Sampling under the delay pattern: what is drawn when, and from what; and the chains beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lib.errors import BookError
from lib.models import HybridConfig, HybridDecoder, MarkovVoices, continue_codes
from lib.trainers import apply_delay

SMALL = HybridConfig(
    codebooks=3, vocabulary=9, pad=8, width=16, layers=4, heads=2, kv_heads=1, ffn_width=24, dropout=0.5
)


def draw(model: HybridDecoder, prompt: torch.Tensor, frames: int, **options: object) -> torch.Tensor:
    return continue_codes(model, prompt, frames, pad=8, generator=torch.Generator().manual_seed(0), **options)


def test_the_coldest_draw_is_the_greedy_loop_over_whole_forwards():
    model = HybridDecoder(SMALL, torch.Generator().manual_seed(1))
    prompt = torch.tensor([[[1, 2], [3, 4], [5, 6]]])
    found = draw(model, prompt, 7, temperature=1e-6, banned=[0])
    assert torch.equal(found[:, :, :2], prompt)
    model.eval()
    for k in range(3):
        for t in range(2, 7):
            seen = apply_delay(found, 8)[:, :, : t + k]
            logits = model(seen)[0, k, -1]
            logits[[0, 8]] = -torch.inf
            assert found[0, k, t] == logits.argmax()


def test_draws_repeat_and_differ():
    model = HybridDecoder(SMALL, torch.Generator().manual_seed(1)).train()
    prompt = torch.randint(0, 8, (4, 3, 1), generator=torch.Generator().manual_seed(2))
    one, two = draw(model, prompt, 20), draw(model, prompt, 20)
    assert torch.equal(one, two)
    assert model.training
    assert one.max() < 8
    assert len(np.unique(one.numpy())) > 4


def test_frequencies_are_those_of_the_model():
    """One step after a prompt, 4,000 draws: the first codebook follows the softmax of its logits."""
    model = HybridDecoder(SMALL, torch.Generator().manual_seed(1)).eval()
    prompt = torch.tensor([[[1], [3], [5]]]).repeat(4000, 1, 1)
    found = draw(model, prompt, 2)[:, 0, 1]
    chances = model(apply_delay(prompt[:1], 8)[:, :, :1])[0, 0, 0].detach()
    chances[8] = -torch.inf
    seen = torch.bincount(found, minlength=9) / 4000
    torch.testing.assert_close(seen, chances.softmax(-1), atol=0.03, rtol=0)


def test_what_cannot_be_continued():
    model, prompt = HybridDecoder(SMALL), torch.zeros(1, 3, 4, dtype=torch.long)
    with pytest.raises(BookError, match="cannot be continued"):
        draw(model, prompt, 3)
    with pytest.raises(BookError, match="temperature"):
        draw(model, prompt, 5, temperature=0.0)


def chain(length: int, rng: np.random.Generator) -> np.ndarray:
    """One voice that steps 1 -> 2 -> 3 -> 1 nine times in ten."""
    tokens = [1]
    for _ in range(length - 1):
        tokens.append(tokens[-1] % 3 + 1 if rng.random() < 0.9 else int(rng.integers(1, 4)))
    return np.array([tokens])


def test_chains_recover_a_chain():
    rng = np.random.default_rng(0)
    pieces = [chain(400, rng) for _ in range(10)]
    model = MarkovVoices(1, 5, 5, 2).fit(pieces, pieces)
    assert model.probabilities(0, np.array(0), np.array(1))[2] == pytest.approx(0.9 + 0.1 / 3, abs=0.03)
    truth = -(0.9 + 0.1 / 3) * np.log(0.9 + 0.1 / 3) - 2 * (0.1 / 3) * np.log(0.1 / 3)
    fresh = [chain(400, rng) for _ in range(10)]
    assert model.nll(fresh, fresh) == pytest.approx(truth, abs=0.04)
    sung = model.sample(pieces[0][:, :1], 300, lambda tokens: tokens - 1, rng)
    follows = (sung[0, 1:] == sung[0, :-1] % 3 + 1).mean()
    assert follows == pytest.approx(0.93, abs=0.06)


def test_chains_are_distributions_that_never_pad():
    model = MarkovVoices(2, 5, 6, 4).fit([np.ones((2, 9), int)], [np.ones((2, 9), int)])
    chances = model.probabilities(1, np.arange(4), np.array([0, 1, 5, 5]))
    assert np.allclose(chances.sum(-1), 1)
    assert not chances[:, -1].any()
    with pytest.raises(BookError, match="strength"):
        MarkovVoices(1, 5, 5, 1, strength=0)
