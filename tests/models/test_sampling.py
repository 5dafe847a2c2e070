"""Drawing: filters by their definitions, draws by their frequencies, and samples by what must hold of every one."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import BookError
from lib.models import HybridConfig, HybridDecoder
from lib.models.sampling import SamplingConfig, filtered, keep_top_k, keep_top_p, penalise, sample, schedule

NONE = torch.zeros(1, 0, dtype=torch.long)
LOGITS = st.lists(st.floats(-8, 8, width=32), min_size=2, max_size=20, unique=True)


@pytest.fixture(scope="module")
def model() -> HybridDecoder:
    config = HybridConfig(codebooks=3, vocabulary=21, pad=20, width=16, layers=2, heads=2, kv_heads=1, ffn_width=32)
    return HybridDecoder(config, torch.Generator().manual_seed(0)).eval()


@given(LOGITS, st.integers(1, 20))
@settings(max_examples=60, deadline=None)
def test_top_k_keeps_the_k_likeliest(values: list[float], k: int) -> None:
    kept = keep_top_k(torch.tensor([values]), k)[0] > -torch.inf
    assert kept.sum() == min(k, len(values))
    assert set(np.argsort(values)[::-1][:k]) == set(np.flatnonzero(kept.numpy()))


@given(LOGITS, st.floats(0.05, 0.99))
@settings(max_examples=60, deadline=None)
def test_top_p_keeps_the_smallest_set_that_reaches_p(values: list[float], p: float) -> None:
    logits = torch.tensor([values], dtype=torch.double)
    chance = logits.softmax(1)[0]
    kept = keep_top_p(logits, p)[0] > -torch.inf
    assert chance[kept].sum() >= p - 1e-9
    assert chance[kept].sum() - chance[kept].min() < p + 1e-9
    assert kept.all() or chance[kept].min() >= chance[~kept].max()


def test_top_p_agrees_with_transformers() -> None:
    from transformers import TopPLogitsWarper

    logits = torch.randn(5, 50, generator=torch.Generator().manual_seed(0))
    for p in (0.3, 0.9):
        theirs = TopPLogitsWarper(p)(None, logits) > -torch.inf
        assert torch.equal(keep_top_p(logits, p) > -torch.inf, theirs)


def test_penalty_agrees_with_transformers_and_forgets_repeats() -> None:
    from transformers import RepetitionPenaltyLogitsProcessor

    logits = torch.randn(2, 30, generator=torch.Generator().manual_seed(1))
    recent = torch.tensor([[3, 3, 7], [0, 1, 29]])
    theirs = RepetitionPenaltyLogitsProcessor(1.3)(recent, logits)
    torch.testing.assert_close(penalise(logits, recent, 1.3), theirs)
    torch.testing.assert_close(penalise(logits, recent[:, :1], 1.3)[0, 3], penalise(logits, recent, 1.3)[0, 3])
    assert (penalise(logits, recent, 1.3) <= logits).all()


def test_schedules_run_from_the_first_codebook_to_the_last() -> None:
    assert schedule((48, 24), 8)[0] == 48
    assert schedule((48, 24), 8)[-1] == 24
    np.testing.assert_allclose(np.diff(schedule((0.72, 0.55), 8)), -0.17 / 7)
    assert schedule((0.7, 0.5), 1) == [0.7]


def test_nothing_set_means_the_models_own_distribution() -> None:
    logits = torch.randn(1, 40, generator=torch.Generator().manual_seed(2))
    own = filtered(logits, NONE, 0, 8, SamplingConfig.plain())
    torch.testing.assert_close(own, logits.double().log_softmax(1))


def test_filters_come_in_the_posts_order() -> None:
    logits = torch.tensor([[3.0, 2.9, -1.0, -4.0]])
    config = SamplingConfig((0.5, 0.5), (2, 2), 1.0, 2.0, 8)
    chances = filtered(logits, torch.tensor([[0]]), 0, 8, config).exp()[0]
    expected = torch.tensor([1.5, 2.9], dtype=torch.double).div(0.5).softmax(0)
    torch.testing.assert_close(chances, torch.cat((expected, torch.zeros(2, dtype=torch.double))), atol=1e-6, rtol=1e-6)


def test_temperature_zero_takes_the_likeliest() -> None:
    chances = filtered(torch.tensor([[0.1, 0.3, 0.2]]), NONE, 0, 1, SamplingConfig((0, 0))).exp()
    assert chances.tolist() == [[0, 1, 0]]


@pytest.mark.parametrize("best_of", [1, 3])
def test_samples_begin_with_the_prompt_and_hold_codes_alone(model: HybridDecoder, best_of: int) -> None:
    prompt = torch.tensor([[1, 2], [3, 4], [5, 6]])
    config = SamplingConfig(best_of=best_of)
    codes, score = sample(
        model, 12, config, generator=torch.Generator().manual_seed(0), size=20, prompt=prompt, count=4
    )
    assert codes.shape == (4, 3, 12)
    assert score.shape == (4,)
    assert torch.equal(codes[:, :, :2], prompt.expand(4, 3, 2))
    assert codes.min() >= 0
    assert codes.max() < 20
    assert (score <= 0).all()
    assert len({tuple(row.flatten().tolist()) for row in codes}) == 4


def test_the_same_generator_draws_the_same_sample(model: HybridDecoder) -> None:
    prompt = torch.zeros(3, 1, dtype=torch.long)

    def draw(seed):
        return sample(model, 9, SamplingConfig(), generator=torch.Generator().manual_seed(seed), size=20, prompt=prompt)

    assert torch.equal(draw(5)[0], draw(5)[0])
    assert not torch.equal(draw(5)[0], draw(6)[0])


def test_best_of_keeps_the_likelier(model: HybridDecoder) -> None:
    prompt = torch.zeros(3, 1, dtype=torch.long)
    means = []
    for best_of in (1, 8):
        config = SamplingConfig((1, 1), (0, 0), 1.0, 1.0, 0, best_of)
        _, score = sample(
            model, 10, config, generator=torch.Generator().manual_seed(1), size=20, prompt=prompt, count=24
        )
        means.append(float(score.mean()))
    assert means[1] > means[0] + 0.02


def test_greedy_sampling_equals_the_full_forward(model: HybridDecoder) -> None:
    from lib.trainers import apply_delay

    prompt = torch.tensor([[1], [3], [5]])
    config = SamplingConfig((0, 0), (0, 0), 1.0, 1.0, 0)
    codes, _ = sample(model, 6, config, generator=torch.Generator(), size=20, prompt=prompt)
    delayed = apply_delay(codes[0], 20)
    logits = model(delayed[None])[0, :, :, :20]
    for k in range(3):
        for frame in range(1, 6):
            assert int(logits[k, k + frame - 1].argmax()) == int(codes[0, k, frame])


def test_draws_follow_the_models_distribution(model: HybridDecoder) -> None:
    prompt = torch.tensor([[1], [3], [5]])
    codes, _ = sample(
        model, 2, SamplingConfig.plain(), generator=torch.Generator().manual_seed(0), size=20, prompt=prompt, count=4000
    )
    delayed = torch.full((1, 3, 1), 20)
    delayed[0, 0, 0] = 1
    chance = model(delayed)[0, 0, 0, :20].softmax(0).detach()
    seen = torch.bincount(codes[:, 0, 1], minlength=20) / 4000
    assert (seen - chance).abs().max() < 0.03


def test_refuses_bad_settings_and_prompts(model: HybridDecoder) -> None:
    for bad in ({"temperature": (-1, 0)}, {"top_k": (-1, 3)}, {"top_p": 0}, {"penalty": 0}, {"best_of": 0}):
        with pytest.raises(BookError, match=next(iter(bad))):
            SamplingConfig(**bad)
    for prompt in (None, torch.zeros(2, 1, dtype=torch.long), torch.zeros(3, 6, dtype=torch.long)):
        with pytest.raises(BookError, match="prompt"):
            sample(model, 6, SamplingConfig(), generator=torch.Generator(), size=20, prompt=prompt)
