"""Recovery scores: perfect is perfect, blind to sign, scale and order, and worse is worse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.analysis import source_recovery as sr
from lib.errors import BookError


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 8), st.integers(0, 10_000))
def test_the_amari_index_is_zero_for_a_scaled_permutation_and_one_for_no_structure(size, seed):
    rng = np.random.default_rng(seed)
    product = np.diag(rng.choice([-1, 1], size) * rng.uniform(0.1, 10, size))[rng.permutation(size)]
    assert sr.amari_index(product) == 0
    assert sr.amari_index(np.ones((size, size))) == pytest.approx(1)
    noisy = [sr.amari_index(product + noise * rng.uniform(0.05, 0.1, (size, size))) for noise in (0.1, 1)]
    assert 0 < noisy[0] < noisy[1] < 1


def test_the_amari_index_by_hand_and_for_more_rows_than_sources():
    assert sr.amari_index([[1, 0.5], [0.25, 1]]) == pytest.approx((0.5 + 0.25 + 0.25 + 0.5) / 4)
    assert sr.amari_index(np.vstack([np.eye(3), 0.1 * np.ones((1, 3))])) > 0


def test_maps_are_compared_up_to_sign_and_scale_and_matched_up_to_order():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(4, 10))
    order = rng.permutation(4)
    found = np.vstack([-3 * true[order], rng.normal(size=(2, 10))])
    similarity, own = sr.matched(sr.pattern_similarity(found, true))
    np.testing.assert_allclose(similarity, 1)
    assert np.array_equal(order[own], np.arange(4))
    assert sr.pattern_similarity(true[0], true[0]).shape == (1, 1)
    assert np.array_equal(sr.pattern_similarity(np.zeros(3), np.ones(3)), [[0]])


def test_a_mixture_of_the_true_maps_lies_in_their_plane_and_a_random_one_does_not():
    rng = np.random.default_rng(1)
    true = rng.normal(size=(2, 30))
    assert sr.plane_similarity(true.T @ [0.3, -2.0], true) == pytest.approx(1)
    inside = true.T @ np.linalg.solve(true @ true.T, true @ (apart := rng.normal(size=30)))
    assert sr.plane_similarity(apart - inside, true) == pytest.approx(0, abs=1e-12)
    assert sr.plane_similarity(true[0], true[:1]) == pytest.approx(1)
    found = [sr.plane_similarity(rng.normal(size=30), true) for _ in range(400)]
    assert np.mean(np.square(found)) == pytest.approx(2 / 30, rel=0.15)


def test_matching_gives_every_source_its_own():
    """The greedy choice would give both sources the first map."""
    assert sr.matched(np.array([[0.9, 0.8], [0.7, 0.1]]))[1].tolist() == [1, 0]


@pytest.fixture(scope="module")
def montage():
    mne = pytest.importorskip("mne")
    places = mne.channels.make_standard_montage("biosemi32").get_positions()["ch_pos"]
    return list(places), np.array(list(places.values()))


def test_regions_are_those_of_the_electrodes_names(montage):
    names, positions = montage
    region = dict(zip(names, np.array(sr.REGIONS)[sr.regions(positions)], strict=True))
    for name in ("Cz", "C3", "C4", "CP1", "FC2", "FC5", "CP6"):
        assert region[name] == "central"
    for name in ("T7", "T8", "F7", "F8", "P7"):
        assert region[name] == "temporal"
    for name in ("Fp1", "Fp2", "AF3", "Fz", "F4"):
        assert region[name] == "frontal"
    for name in ("Oz", "O1", "PO4", "Pz", "P3"):
        assert region[name] == "posterior"


def test_regions_follow_the_head_not_the_unit_or_the_origin(montage):
    _, positions = montage
    assert np.array_equal(sr.regions(1000 * positions + [3, -2, 55]), sr.regions(positions))


def test_topography_shares_sum_to_one_and_follow_the_energy(montage):
    names, positions = montage
    weights = np.array([3.0 if name in ("T7", "T8") else 0.1 for name in names])
    shares = sr.topography(weights, positions)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["temporal"] > 0.9
    assert sr.topography(-weights, positions) == shares
    even = sr.topography(np.ones(len(names)), positions)
    assert even["temporal"] == pytest.approx(6 / 32)


def test_band_errors_by_hand():
    error = sr.band_error((20, 26), (21, 29))
    assert (error.centre, error.edges, error.overlap) == pytest.approx((2, 2, 5 / 9))
    assert sr.band_error((20, 26), (20, 26)) == sr.BandError(0, 0, 1)
    assert sr.band_error((10, 12), (20, 26)).overlap == 0


def test_a_dictionary_that_is_the_truth_is_described_as_such():
    rng = np.random.default_rng(1)
    maps = rng.normal(size=(5, 12))
    sources = rng.laplace(size=(4000, 5)) * (rng.random((4000, 5)) < 0.2)
    perfect = sr.describe(sources @ maps, -2 * sources[:, ::-1], -maps[::-1] / 2, sources, maps)
    assert (perfect.maps, perfect.courses, perfect.explained, perfect.dead) == pytest.approx((1, 1, 1, 0))
    assert perfect.active == pytest.approx(0.2, abs=0.02)
    assert perfect.kurtosis > 3
    other = sr.describe(
        sources @ maps + 1, rng.normal(size=(4000, 6)), rng.normal(size=(6, 12)), sources, maps, offset=1
    )
    assert other.courses < 0.1
    assert other.maps < 0.9
    assert other.explained < 0
    still = np.hstack([sources, np.zeros((4000, 1))])
    assert sr.describe(sources @ maps, still, np.vstack([maps, maps[:1]]), sources, maps).dead == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: sr.amari_index(np.ones((1, 3))), r"\(1, 3\)"),
        (lambda: sr.amari_index(np.diag([1.0, 0.0])), "zero"),
        (lambda: sr.pattern_similarity(np.ones(3), np.ones(4)), "3 and 4"),
        (lambda: sr.plane_similarity(np.zeros(4), np.eye(4)[:2]), "flat"),
        (lambda: sr.plane_similarity(np.ones(2), np.eye(2)), "K < C"),
        (lambda: sr.matched(np.ones((2, 3))), "2 found for 3"),
        (lambda: sr.regions(np.ones((5, 2))), r"\(5, 2\)"),
        (lambda: sr.regions(np.full((5, 3), np.nan)), "finite"),
        (lambda: sr.topography(np.zeros(6), np.random.default_rng(0).normal(size=(6, 3))), "flat"),
        (lambda: sr.topography(np.ones(5), np.random.default_rng(0).normal(size=(6, 3))), r"\(5,\)"),
        (lambda: sr.band_error((30, 20), (1, 2)), "30 to 20"),
    ],
)
def test_refusals_name_the_value(call, said):
    with pytest.raises(BookError, match=said):
        call()
