"""Each formula that chapter 05 displays, written out as it stands there and compared with the code; and properties."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, r2_score

from lib.analysis import proxy_gap, rate_distortion
from lib.analysis.feature_probes import single_feature_probe
from lib.analysis.seed_deltas import deltas
from lib.errors import BookError
from lib.models.sparse_autoencoder import Code


@pytest.fixture
def pair():
    g = torch.Generator().manual_seed(0)
    a = torch.randn(200, 7, generator=g, dtype=torch.float64) * torch.arange(1, 8) + 2
    return a, a + 0.5 * torch.randn(200, 7, generator=g, dtype=torch.float64)


def test_r2_is_one_minus_sse_over_sst(pair):
    a, again = (one.numpy() for one in pair)
    sse, sst = ((a - again) ** 2).sum(), ((a - a.mean(0)) ** 2).sum()
    assert proxy_gap.r_squared(*pair) == pytest.approx(1 - sse / sst)
    assert proxy_gap.r_squared(*pair) == pytest.approx(r2_score(a, again, multioutput="variance_weighted"))
    assert proxy_gap.r_squared(pair[0], pair[0]) == 1
    assert proxy_gap.r_squared(pair[0], pair[0].mean(0).expand_as(pair[0])) == pytest.approx(0)


def test_errors_of_an_activation(pair):
    a, again = (one.numpy() for one in pair)
    assert proxy_gap.mean_squared_error(*pair) == pytest.approx((((a - again) ** 2).sum(1) / 7).mean())
    lengths = np.linalg.norm(a, axis=1), np.linalg.norm(again, axis=1)
    assert proxy_gap.mean_cosine(*pair) == pytest.approx(((a * again).sum(1) / lengths[0] / lengths[1]).mean())
    relative = np.linalg.norm(a - again, axis=1) / (lengths[0] + 1e-10)
    assert proxy_gap.relative_error(*pair) == pytest.approx(relative.mean())


def test_alive_share_counts_features_that_fire():
    features = torch.tensor([[0, 1], [1, 4]])
    values = torch.tensor([[1.0, 0.0], [2.0, 3.0]])  # feature 1 fires in the second row only
    assert proxy_gap.alive_share(features, values, 10) == pytest.approx(0.3)
    values[1, 0] = 0
    assert proxy_gap.alive_share(features, values, 10) == pytest.approx(0.2)


@given(st.floats(0.1, 10), st.floats(0, 5), st.floats(0.1, 5))
def test_the_two_scores_of_a_loss_and_their_conversion(clean, excess, room):
    recon, ablated = clean + excess, clean + room
    recovered = proxy_gap.ce_recovered(recon, clean)
    assert recovered == pytest.approx(2 - recon / clean)
    score = (ablated - recon) / (ablated - clean)
    assert proxy_gap.ablation_score(recon, clean, ablated) == pytest.approx(score)
    assert proxy_gap.ablation_from_ce(recovered, clean, ablated) == pytest.approx(score, rel=1e-6, abs=1e-6)


def test_scores_at_their_ends():
    assert proxy_gap.ce_recovered(3.0, 3.0) == 1
    assert proxy_gap.ce_recovered(6.0, 3.0) == 0
    assert proxy_gap.ablation_score(3.0, 3.0, 8.0) == 1
    assert proxy_gap.ablation_score(8.0, 3.0, 8.0) == 0


def test_participation_ratio_raw_and_deflated(pair):
    eigenvalues = proxy_gap.spectrum(pair[0])
    right = np.linalg.eigvalsh(np.cov(pair[0].numpy().T, bias=True))[::-1]
    np.testing.assert_allclose(eigenvalues, right)
    assert proxy_gap.participation_ratio(eigenvalues) == pytest.approx(right.sum() ** 2 / (right**2).sum())
    rest = right[1:]
    assert proxy_gap.participation_ratio(eigenvalues, drop=1) == pytest.approx(rest.sum() ** 2 / (rest**2).sum())
    assert proxy_gap.participation_ratio(torch.ones(5)) == pytest.approx(5)
    assert proxy_gap.participation_ratio(torch.tensor([4.0, 0, 0])) == pytest.approx(1)


def test_deflated_r2_forgets_the_largest_direction(pair):
    a, again = pair
    assert proxy_gap.deflated_r_squared(a, again, directions=0) == pytest.approx(proxy_gap.r_squared(a, again))
    top = torch.linalg.eigh((a - a.mean(0)).T @ (a - a.mean(0)))[1][:, -1]
    moved = again + 100 * torch.randn(200, 1, dtype=a.dtype) * top  # an error in that direction alone
    assert proxy_gap.deflated_r_squared(a, moved) == pytest.approx(proxy_gap.deflated_r_squared(a, again))
    assert proxy_gap.r_squared(a, moved) < 0


def test_k_star_is_linear_between_the_ks():
    ks, scores = [8, 16, 32, 64], [0.372, 0.580, 0.729, 0.836]
    assert proxy_gap.k_star(ks, scores, 0.80) == pytest.approx(32 + 32 * (0.80 - 0.729) / (0.836 - 0.729))
    assert proxy_gap.k_star(ks, scores, 0.58) == 16
    assert proxy_gap.k_star(ks, scores, 0.1) == 8
    assert proxy_gap.k_star(ks, scores, 0.9) is None


@given(st.lists(st.tuples(*[st.floats(-1, 1)] * 4), min_size=2, max_size=6))
def test_with_two_models_the_within_k_correlation_is_the_cosine_of_the_deltas(cells):
    r2, ce = np.array(cells)[:, :2].T, np.array(cells)[:, 2:].T
    dr, dc = r2[1] - r2[0], ce[1] - ce[0]
    if min(np.linalg.norm(dr), np.linalg.norm(dc)) > 1e-3:
        assert proxy_gap.within_k_correlation(r2, ce) == pytest.approx(proxy_gap.delta_cosine(dr, dc), abs=1e-9)


def test_the_printed_mid_deltas_give_the_printed_correlation():
    dr = [0.154, 0.112, 0.084, 0.057, 0.036, 0.017]
    dc = [-0.106, -0.068, -0.017, -0.027, -0.032, -0.037]
    assert proxy_gap.delta_cosine(dr, dc) == pytest.approx(-0.942, abs=5e-4)


def test_bootstrap_covers_a_known_ratio():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        size = rng.uniform(1, 3, 80)
        low, high = proxy_gap.ratio_interval(size * rng.normal(0.4, 0.2, 80), size, rng, draws=400)
        hits += low <= 0.4 <= high
    assert 50 <= hits <= 60


def test_uniform_bits_of_the_post():
    for features, k, bits in ((16384, 8, 160.7), (24576, 32, 605), (32768, 256, 4203)):
        assert rate_distortion.uniform_bits(features, k) == pytest.approx(bits, abs=0.6)
        assert rate_distortion.uniform_bits(features, k) == pytest.approx(math.log2(math.comb(features, k)) + 8 * k)


def test_frequency_bits_by_hand_and_below_uniform():
    counts = torch.tensor([10, 5, 0, 20])
    coin = [-(p * math.log2(p) + (1 - p) * math.log2(1 - p)) for p in (0.5, 0.25)]
    assert rate_distortion.frequency_bits(counts, 20) == pytest.approx(sum(coin) + 8 * 35 / 20)
    g = torch.Generator().manual_seed(0)
    features = torch.rand(500, 40, generator=g).pow(3).topk(4, dim=1).indices[:, :4]
    counts = rate_distortion.firing_counts(features, torch.ones(500, 4), 40)
    assert int(counts.sum()) == 2000
    skewed = torch.zeros(40, dtype=torch.int64)
    skewed[:4] = 500
    assert rate_distortion.frequency_bits(skewed, 500) == pytest.approx(8 * 4)
    with pytest.raises(BookError, match="count each token once"):
        rate_distortion.frequency_bits(torch.tensor([30]), 20)


def test_quantised_values_are_near_and_few():
    values = torch.rand(100, 8, generator=torch.Generator().manual_seed(0)) * 7
    coded = rate_distortion.quantised(values, bits=4)
    assert len(coded.unique()) <= 16
    assert (coded - values).abs().max() <= values.max() / 15 / 2 + 1e-6


def test_a_planted_feature_is_found_and_its_f1_is_sklearns():
    g = torch.Generator().manual_seed(0)
    yes = torch.rand(600, generator=g) < 0.3
    features = torch.randint(1, 30, (600, 3), generator=g)
    noisy = yes ^ (torch.rand(600, generator=g) < 0.05)
    features[noisy, 0] = 0
    code = Code(torch.rand(600, 3, generator=g) + 0.1, features)
    probe = single_feature_probe(code, yes, 30)
    assert probe.feature == 0
    assert probe.held_out_f1 == pytest.approx(f1_score(yes[300:], noisy[300:]))
    assert probe.base_f1 == pytest.approx(f1_score(yes[300:], torch.ones(300)))


def test_searching_features_of_noise_earns_little():
    g = torch.Generator().manual_seed(1)
    code = Code(torch.rand(400, 4, generator=g) + 0.1, torch.randint(200, (400, 4), generator=g))
    probe = single_feature_probe(code, torch.rand(400, generator=g) < 0.3, 200)
    assert probe.held_out_f1 < probe.chosen_f1
    assert probe.held_out_f1 < probe.base_f1


def test_deltas_pair_seeds_and_the_interval_is_students():
    from scipy.stats import ttest_1samp

    rows = [(w, s, 8, w / 100 + 0.1 * s * (w > 64)) for w in (64, 128) for s in (0, 1, 2)] + [(128, 9, 8, 5.0)]
    found = deltas(pd.DataFrame(rows, columns=["width", "seed", "k", "r2"]), "r2", 64, 128)[8]
    assert sorted(found.by_seed) == [0, 1, 2]
    right = ttest_1samp(list(found.by_seed.values()), 0).confidence_interval(0.95)
    assert found.interval == pytest.approx((right.low, right.high))
    assert found.mean == pytest.approx(0.64 + 0.1)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: proxy_gap.k_star([8, 4], [0, 1], 0.5), "ascending"),
        (lambda: proxy_gap.participation_ratio(torch.ones(2), drop=2), "drop fewer"),
        (lambda: proxy_gap.ratio_interval(np.ones(1), np.ones(1), np.random.default_rng(0)), "at least 2"),
        (lambda: rate_distortion.uniform_bits(4, 5), "k=5"),
        (lambda: deltas(pd.DataFrame({"width": [1], "seed": [0], "k": [8], "r2": [0.1]}), "r2", 1, 2), "no seed"),
        (
            lambda: deltas(pd.DataFrame({"width": [1, 1], "seed": [0, 0], "k": [8, 8], "r2": [0, 1]}), "r2", 1, 2),
            "two rows",
        ),
        (
            lambda: single_feature_probe(Code(torch.ones(4, 1), torch.zeros(4, 1).long()), torch.ones(4).bool(), 2),
            "the same for a whole half",
        ),
    ],
)
def test_bad_input_in_one_line(call, told):
    with pytest.raises(BookError, match=told):
        call()
