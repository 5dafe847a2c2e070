"""A cache added after training: what its averages leave as it was, what they change, and what is refused."""

from __future__ import annotations

import pytest
import torch

from lib.errors import BookError
from lib.models import AveragedCache, CachedMemoryConfig, CachedMemoryDecoder
from lib.models.averaged_cache import FORMS, fading_gates

CONFIG = CachedMemoryConfig(
    codebooks=2, vocabulary=11, width=12, layers=2, heads=3, key_size=5, segment=4, cache="none", max_positions=30
)
TOKENS = torch.randint(11, (3, 2, 13), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def model() -> CachedMemoryDecoder:
    return CachedMemoryDecoder(CONFIG, torch.Generator().manual_seed(0)).double()


def logits(model: CachedMemoryDecoder, **form: object) -> torch.Tensor:
    return AveragedCache(model, **form).double()(TOKENS)


def test_an_average_of_independent_memories_is_the_model_itself(model):
    torch.testing.assert_close(logits(model, **FORMS["average_of_segments"]), model(TOKENS), rtol=1e-9, atol=1e-9)


def test_so_is_one_that_reads_the_current_memory_alone(model):
    torch.testing.assert_close(logits(model, fade=0.0), model(TOKENS), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("form", ["average", "moving_average", "average_of_reads"])
def test_the_others_change_what_comes_after_the_first_segment(model, form):
    found = logits(model, **FORMS[form])
    torch.testing.assert_close(found[:, :, :4], model(TOKENS)[:, :, :4], rtol=1e-9, atol=1e-9)
    assert (found - model(TOKENS))[:, :, 4:].abs().max() > 1e-4


def test_nothing_is_learned_or_shared(model):
    cached = AveragedCache(model)
    assert sum(w.numel() for w in cached.parameters()) == sum(w.numel() for w in model.parameters())
    with torch.no_grad():
        cached.cached.embedding.zero_()
    assert model.embedding.any()


def test_gates_fade_by_the_age_of_a_segment():
    gates = fading_gates(7, 2, 0.5)
    assert gates.shape == (1, 7, 4)
    torch.testing.assert_close(gates[0, 6], torch.tensor([1, 2, 4, 8]) / 15)
    torch.testing.assert_close(gates[0, 2], torch.tensor([1, 2, 0, 0]) / 3)
    torch.testing.assert_close(fading_gates(7, 2, 1.0)[0, 6], torch.full((4,), 0.25))
    assert torch.equal(fading_gates(7, 2, 0.0)[0, 6], torch.tensor([0.0, 0, 0, 1]))


def test_what_cannot_be_averaged_is_refused(model):
    with pytest.raises(BookError, match="cache='faithful'; give a model trained without one"):
        AveragedCache(AveragedCache(model).cached)
    with pytest.raises(BookError, match=r"fade=1\.5; give a factor from 0 to 1"):
        AveragedCache(model, fade=1.5)
