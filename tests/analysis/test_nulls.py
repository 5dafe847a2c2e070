"""Null models: the margins they promise, the structure they destroy, and the random numbers they draw."""

from __future__ import annotations

import numpy as np
import pytest

from lib.analysis import nulls
from lib.errors import BookError

BITS = np.random.default_rng(0).random((60, 80)) < np.linspace(0.02, 0.5, 80)
COUNTS = np.random.default_rng(1).poisson(np.linspace(0.05, 2, 80), (60, 80))
DENSE = np.random.default_rng(2).normal(size=(200, 4)) @ np.array(
    [[2, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 3], [0, 0, 0, 1.0]]
)
TABLES = {
    "fixed_margin_swap": BITS,
    "bernoulli": BITS,
    "coordinate_permutation": DENSE,
    "multinomial": COUNTS,
    "gaussian": DENSE,
}


def plain_swap(bits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The fixed-margin swap with numpy's own `choice`, one step at a time: the twin of the fast form."""
    table = bits.copy()
    owned = [set(np.flatnonzero(row).tolist()) for row in table]
    wanted, done, tried = 5 * int(table.sum()), 0, 0
    while done < wanted and tried < 50 * wanted:
        tried += 1
        first, second = rng.choice(len(owned), size=2, replace=False)
        left, right = list(owned[first] - owned[second]), list(owned[second] - owned[first])
        if left and right:
            given, taken = int(rng.choice(left)), int(rng.choice(right))
            for row, out, into in ((first, given, taken), (second, taken, given)):
                owned[row].remove(out)
                owned[row].add(into)
                table[row, out], table[row, into] = False, True
            done += 1
    return table


@pytest.mark.parametrize(("shape", "share"), [((2, 5), 0.5), ((7, 9), 0.4), ((40, 300), 0.05), ((30, 6), 0.9)], ids=str)
def test_the_fast_swap_is_the_plain_swap(shape, share):
    bits = np.random.default_rng(3).random(shape) < share
    fast = nulls.fixed_margin_swap(bits, np.random.default_rng(4))
    assert np.array_equal(fast, plain_swap(bits, np.random.default_rng(4)))


@pytest.mark.parametrize("size", [1, 2, 3, 10, 999, 1000, 3_000_000_000])
def test_bounded_draws_what_numpy_draws(size):
    """The last size rejects three words in ten, so that the rejection branch is exercised."""
    words = nulls.stream(np.random.default_rng(5))
    numpys = np.random.default_rng(5)
    assert [nulls.bounded(size, words) for _ in range(300)] == [int(numpys.integers(size)) for _ in range(300)]


def test_pairs_are_different_and_every_ordered_pair_is_equally_likely():
    words = nulls.stream(np.random.default_rng(6))
    seen = np.zeros((4, 4))
    for _ in range(12_000):
        seen[nulls.pair(4, words)] += 1
    assert not np.diag(seen).any()
    off = seen[~np.eye(4, dtype=bool)]
    assert np.abs(off - 1000).max() < 5 * np.sqrt(1000)


def test_swap_fixes_both_margins_and_forgets_the_rest():
    found = nulls.draw_null("fixed_margin_swap", BITS, seed=0)
    assert np.array_equal(found.sum(0), BITS.sum(0))
    assert np.array_equal(found.sum(1), BITS.sum(1))
    assert (found != BITS).mean() > 0.1


def test_swap_stops_on_a_table_that_has_no_swap():
    ladder = np.tri(6, dtype=bool)
    assert np.array_equal(nulls.draw_null("fixed_margin_swap", ladder, seed=0), ladder)


def test_bernoulli_keeps_prevalence_in_expectation_only():
    draws = np.stack([nulls.draw_null("bernoulli", BITS, seed) for seed in range(200)])
    share = BITS.mean(axis=0)
    error = np.sqrt(share * (1 - share) / (200 * len(BITS)))
    assert np.abs(draws.mean(axis=(0, 1)) - share).max() < 5 * error.max()
    assert not np.array_equal(draws[0].sum(0), BITS.sum(0))
    assert draws.dtype == bool


def test_permutation_keeps_each_column_and_breaks_the_rows():
    found = nulls.draw_null("coordinate_permutation", DENSE, seed=0)
    assert np.array_equal(np.sort(found, axis=0), np.sort(DENSE, axis=0))
    assert abs(np.corrcoef(DENSE[:, 2:].T)[0, 1]) > 0.8
    assert abs(np.corrcoef(found[:, 2:].T)[0, 1]) < 0.3


def test_multinomial_keeps_row_sums_and_column_shares():
    draws = np.stack([nulls.draw_null("multinomial", COUNTS, seed) for seed in range(100)])
    assert (draws.sum(axis=2) == COUNTS.sum(axis=1)).all()
    np.testing.assert_allclose(draws.mean(axis=0).sum(axis=0), COUNTS.sum(axis=0), rtol=0.15, atol=2)
    assert not nulls.multinomial(np.zeros((3, 2), int), np.random.default_rng(0)).any()


def test_multinomial_draws_row_by_row():
    rng, share = np.random.default_rng(7), COUNTS.sum(0) / COUNTS.sum()
    expected = np.array([rng.multinomial(total, share) for total in COUNTS.sum(1)])
    assert np.array_equal(nulls.draw_null("multinomial", COUNTS, seed=7), expected)


def test_gaussian_has_the_mean_and_covariance_of_the_data():
    draws = np.concatenate([nulls.draw_null("gaussian", DENSE, seed) for seed in range(200)])
    np.testing.assert_allclose(draws.mean(0), DENSE.mean(0), atol=0.05)
    np.testing.assert_allclose(np.cov(draws.T), np.cov(DENSE.T), atol=0.15)


def test_gaussian_of_flat_data_stays_flat():
    flat = DENSE @ np.diag([1.0, 1.0, 1.0, 0.0])
    assert np.abs(nulls.draw_null("gaussian", flat, seed=0)[:, 3]).max() < 1e-3


@pytest.mark.parametrize("name", list(nulls.NULLS))
def test_a_seed_gives_one_table_and_leaves_the_data_alone(name):
    before = TABLES[name].copy()
    first, again, other = (nulls.draw_null(name, TABLES[name], seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(TABLES[name], before)
    assert first.shape == before.shape


def test_refusals_name_the_value():
    with pytest.raises(BookError, match=r"'shuffle'.*bernoulli"):
        nulls.draw_null("shuffle", BITS, seed=0)
    with pytest.raises(BookError, match="-1"):
        nulls.draw_null("multinomial", np.array([[1, -1]]), seed=0)
    with pytest.raises(BookError, match="one row"):
        nulls.draw_null("fixed_margin_swap", BITS[:1], seed=0)
