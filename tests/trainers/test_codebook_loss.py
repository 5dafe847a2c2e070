"""The loss against the framework's own, its floor, and sums that weigh tokens."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from lib.trainers.codebook_loss import CrossEntropies, Tally, hits, loss_sums, smoothing_floor

PAD = 7


@pytest.fixture
def logits() -> torch.Tensor:
    return 3 * torch.randn(2, 3, 5, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def targets() -> torch.Tensor:
    targets = torch.randint(0, 7, (2, 3, 5), generator=torch.Generator().manual_seed(1))
    targets[0, 1, 2:] = PAD
    targets[1, 2, 0] = PAD
    return targets


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_against_the_framework(logits, targets, smoothing):
    """Value and gradient of the mean over targets equal cross_entropy with label smoothing and ignore_index."""
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    sums = loss_sums(ours, targets, PAD)
    mean = sums.smoothed(smoothing).sum() / sums.count.sum()
    flat = theirs.flatten(0, 2), targets.flatten()
    expected = F.cross_entropy(*flat, ignore_index=PAD, label_smoothing=smoothing)
    torch.testing.assert_close(mean, expected)
    mean.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_gradients_of_both_parts(logits, targets):
    small = logits[:1, :1, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: CrossEntropies.apply(x, targets[:1, :1, :2]), small)


def test_true_likelihood_is_kept_apart(logits, targets):
    """nll does not move with smoothing, and each codebook is its own."""
    sums = loss_sums(logits, targets, PAD)
    for k in range(3):
        expected = F.cross_entropy(
            logits[:, k].flatten(0, 1), targets[:, k].flatten(), ignore_index=PAD, reduction="sum"
        )
        torch.testing.assert_close(sums.nll[k], expected)
    assert sums.count.tolist() == [10, 7, 9]
    assert not torch.allclose(sums.smoothed(0.1), sums.nll)


def test_floor_and_uniform_of_the_speech_loss():
    """With smoothing 0.1 over 1,027 tokens a perfect model reaches 1.0175, a uniform one 6.934."""
    floor = smoothing_floor(0.1, 1027)
    assert round(floor, 4) == 1.0175
    hit = 1 - 0.1 + 0.1 / 1027
    perfect = torch.full((1, 1, 1, 1027), math.log(0.1 / 1027), dtype=torch.float64)
    perfect[..., 3] = math.log(hit)
    target = torch.full((1, 1, 1), 3)
    assert float(loss_sums(perfect, target, None).smoothed(0.1).sum()) == pytest.approx(floor)
    worse = perfect.clone()
    worse[..., 3] += 0.3
    assert float(loss_sums(worse, target, None).smoothed(0.1).sum()) > floor
    uniform = loss_sums(torch.zeros(1, 1, 1, 1027), target, None).smoothed(0.1)
    assert round(float(uniform.sum()), 3) == 6.934


def test_no_smoothing_has_floor_zero():
    assert smoothing_floor(0.0, 1027) == 0.0


def test_hits_count_rank():
    logits = torch.arange(8.0).expand(1, 1, 3, 8)
    targets = torch.tensor([[[7, 3, 2]]])
    assert hits(logits, targets, None)[:, 0].tolist() == [1, 2]
    assert hits(logits, targets, 7)[:, 0].tolist() == [0, 1]


def test_ties_share_their_places():
    target = torch.tensor([[[3]]])
    assert hits(torch.zeros(1, 1, 1, 8), target, None)[:, 0].tolist() == [1 / 8, 5 / 8]
    two = torch.tensor([5.0, 0, 0, 5.0, 9.0, 0, 0, 0]).view(1, 1, 1, 8)
    assert hits(two, target, None)[:, 0].tolist() == [0, 1]


def test_tally_weighs_tokens(logits, targets):
    """A long and a short batch: the mean over tokens and the mean over batches are two figures."""
    tally = Tally(3, smoothing=0.1)
    parts = [(logits[:1], targets[:1]), (logits[1:, :, :1], targets[1:, :, :1])]
    means = []
    for part in parts:
        sums = loss_sums(*part, PAD)
        means.append(float(sums.smoothed(0.1).sum() / sums.count.sum()))
        tally.add(sums, hits(*part, PAD))
    score = tally.result()
    counts = [12, 2]
    assert sum(score.tokens_by_codebook) == sum(counts)
    assert score.smoothed == pytest.approx((12 * means[0] + 2 * means[1]) / 14)
    assert score.smoothed_batch_mean == pytest.approx(sum(means) / 2)
    assert score.smoothed != pytest.approx(score.smoothed_batch_mean, rel=1e-3)
    weighted = sum(n * x for n, x in zip(score.tokens_by_codebook, score.nll_by_codebook, strict=True))
    assert score.nll == pytest.approx(weighted / 14)
    assert score.perplexity == pytest.approx(math.exp(score.nll))
    assert score.perplexity != pytest.approx(math.exp(score.smoothed), rel=1e-3)
