"""The audit: its seeds to the letter, its summary by hand, and clouds that it must tell apart."""

from __future__ import annotations

import numpy as np
import pytest

from lib.analysis import audit, null_maxima, robustness, subsamples, summarise
from lib.analysis.distances import distance_matrix
from lib.analysis.fingerprints import DENSE_NULLS, Representation
from lib.analysis.homology import farthest_points, persistence
from lib.analysis.nulls import draw_null
from lib.analysis.robustness import Route, Task, measure, measure_all, measure_once, redrawn_ratios
from lib.analysis.statistics import permutation_p
from lib.errors import BookError


def ring(count: int, noise: float = 0.05) -> Representation:
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, count)
    points = np.column_stack([np.cos(angle), np.sin(angle), np.zeros(count)])
    return Representation("ring", points + noise * rng.normal(size=(count, 3)), "euclidean", DENSE_NULLS)


def blob(count: int) -> Representation:
    return Representation("blob", np.random.default_rng(1).normal(size=(count, 3)), "euclidean", DENSE_NULLS)


def bits(count: int) -> Representation:
    table = np.random.default_rng(2).random((count, 64)) < 0.2
    return Representation("bits", table, "jaccard", ("fixed_margin_swap", "bernoulli", "coordinate_permutation"))


def test_subsamples_are_the_published_ones():
    found = subsamples(4983, 1000, 3, seed=5)
    for run, rows in enumerate(found):
        expected = np.sort(np.random.default_rng(5 + run).choice(4983, 1000, replace=False))
        assert np.array_equal(rows, expected)
    assert not np.array_equal(found[0], found[1])
    assert [rows.tolist() for rows in subsamples(50, 60, 2, seed=0)] == [list(range(50))] * 2


def test_every_seed_is_the_published_one():
    """Null j of run r: seed + r + 10,000 j; landmarks: + 500,000 and 1,000 j."""
    cloud = bits(80)
    found = audit(cloud, size=40, runs=2, seed=7, landmarks=15)
    for run, rows in enumerate(subsamples(80, 40, 2, seed=7)):
        for order, name in enumerate([None, *cloud.nulls]):
            sample = cloud.matrix[rows]
            table = sample if name is None else draw_null(name, sample, 7 + run + 10_000 * order)
            between = distance_matrix(table, "jaccard")
            chosen = farthest_points(between, 15, np.random.default_rng(7 + run + 500_000 + 1_000 * order))
            direct = found.direct.observed[run] if name is None else found.direct.nulls[name][run]
            thinned = found.landmark.observed[run] if name is None else found.landmark.nulls[name][run]
            assert np.array_equal(direct, persistence(between))
            assert np.array_equal(thinned, persistence(between[np.ix_(chosen, chosen)]))


def test_the_summary_by_hand():
    observed = [np.array([4.0, 1.0]), np.array([2.0]), np.array([3.0, 2.5]), np.array([])]
    low, high = [np.array([0.5, 0.1])] * 4, [np.array([v]) for v in (1.0, 2.0, 1.0, 1.5)]
    found = summarise(Route(observed, {"low": low, "high": high}))
    threshold = 0.15 * 1.5 + 0.85 * 2.0
    assert found.strongest == "high"
    assert found.thresholds == pytest.approx({"low": 0.5, "high": threshold})
    assert found.ratio == pytest.approx((4 + 2 + 3 + 0) / 4 / threshold)
    assert found.run_fraction == 3 / 4
    assert found.feature_run_fraction == 3 / 4
    assert found.neutral == pytest.approx((1 + 2 + 1 + 1.5) / 4 / threshold)
    pooled = np.quantile([4, 1, 2, 3, 2.5], 0.95)
    assert found.feature_ratio == pytest.approx(pooled / np.quantile([1, 2, 1, 1.5], 0.95))


def test_a_null_without_loops_has_no_ratio():
    with pytest.raises(BookError, match="no null table"):
        summarise(Route([np.array([1.0])], {"empty": [np.array([])]}))


def test_a_ring_is_robust_and_a_blob_is_not():
    seen, unseen = (summarise(audit(cloud, size=80, runs=4).direct) for cloud in (ring(200), blob(200)))
    assert seen.ratio > 2
    assert seen.run_fraction == 1.0
    assert unseen.ratio < 1.2
    assert unseen.run_fraction < 1.0


def test_the_permutation_test_tells_a_ring_from_a_blob():
    for cloud, significant in ((ring(80), True), (blob(80), False)):
        observed, maxima = null_maxima(cloud, size=80, draws=19)
        worst = max(permutation_p(observed, values) for values in maxima.values())
        assert (worst <= 0.05) is significant
        assert all(len(values) == 19 for values in maxima.values())


def test_extra_draws_have_seeds_of_their_own():
    cloud = blob(60)
    _, maxima = null_maxima(cloud, size=40, draws=2, seed=3)
    sample = cloud.matrix[subsamples(60, 40, 1, seed=3)[0]]
    expected = persistence(distance_matrix(draw_null("gaussian", sample, 3 + 2_000_000 + 1), "euclidean"))[0]
    assert maxima["gaussian"][1] == expected


def test_finished_tables_are_read_and_not_measured_again(tmp_path, monkeypatch):
    cloud = bits(60)
    settings = {"size": 30, "runs": 2, "landmarks": 10}
    plain, first = audit(cloud, **settings), audit(cloud, **settings, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2 * 4
    null_maxima(cloud, size=30, draws=1, folder=tmp_path)
    assert len(list(tmp_path.glob("*.npz"))) == 2 * 4 + 4  # other seeds, no landmarks: other files
    monkeypatch.setattr(robustness, "measure", lambda task: pytest.fail("measured again"))
    again = audit(cloud, **settings, folder=tmp_path)
    for found in (first, again):
        for route in ("direct", "landmark"):
            one, two = summarise(getattr(plain, route)), summarise(getattr(found, route))
            assert one.ratio == two.ratio
            assert np.array_equal(one.observed, two.observed)


def test_a_table_that_was_cut_off_is_measured_again(tmp_path, monkeypatch):
    task = Task(bits(20).matrix, "jaccard", None, 0, None, 0)

    def stop(file, **values):
        file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(robustness.np, "savez", stop)
        with pytest.raises(KeyboardInterrupt):
            measure_once(task, tmp_path)
    assert not list(tmp_path.glob("*.npz"))
    assert np.array_equal(measure_once(task, tmp_path)[0], measure(task)[0])


def test_redrawn_ratios_draw_runs_anew_when_they_are_given():
    rng = np.random.default_rng(0)
    pool = {"still": np.ones(8)}
    assert np.ptp(redrawn_ratios(2.0, pool, rng, repeats=50)) == 0
    runs = np.array([1.0, 3.0, 2.0, 2.0])
    found = redrawn_ratios(runs, pool, rng, repeats=4000)
    assert found.mean() == pytest.approx(2.0, abs=0.05)
    assert found.std() == pytest.approx(runs.std() / np.sqrt(4), rel=0.05)  # that of a bootstrap mean


def test_redrawn_ratios_spread_with_the_pool_and_not_without():
    rng = np.random.default_rng(0)
    pool = {"wide": rng.uniform(1, 2, 40), "low": rng.uniform(0.1, 0.2, 40)}
    found = redrawn_ratios(3.0, pool, rng, repeats=200)
    assert 3.0 / 2 < found.min() < found.max() < 3.0
    whole = redrawn_ratios(3.0, {"wide": pool["wide"]}, rng, repeats=5, draws=40)
    np.testing.assert_allclose(whole, 3.0 / np.quantile(pool["wide"], 0.95))
    with pytest.raises(BookError, match=r"pool of 4 .* 8"):
        redrawn_ratios(1.0, {"few": np.ones(4)}, rng)


def test_landmarks_are_optional_and_never_more_than_the_points():
    assert audit(blob(60), size=30, runs=1).landmark is None
    all_points = audit(blob(60), size=30, runs=1, landmarks=200)
    np.testing.assert_allclose(all_points.direct.observed[0], all_points.landmark.observed[0], atol=1e-7)


def test_any_number_of_workers_gives_the_same_numbers():
    cloud = bits(60)
    alone, pooled = (audit(cloud, size=30, runs=2, landmarks=10, workers=workers) for workers in (1, 2))
    for first, second in ((alone.direct, pooled.direct), (alone.landmark, pooled.landmark)):
        assert list(first.nulls) == list(second.nulls)
        left = [*first.observed, *(values for runs in first.nulls.values() for values in runs)]
        right = [*second.observed, *(values for runs in second.nulls.values() for values in runs)]
        assert all(np.array_equal(one, other) for one, other in zip(left, right, strict=True))


def test_an_error_in_a_worker_reaches_the_caller():
    broken = Task(np.array([[1, -1], [0, 1]]), "generalised_tanimoto", None, 0, None, 0)
    with pytest.raises(BookError, match="-1"):
        list(measure_all([broken, broken], workers=2))


def test_refusals_name_the_value():
    with pytest.raises(BookError, match="0 runs of 50"):
        audit(blob(60), size=50, runs=0)
    with pytest.raises(BookError, match="3 points"):
        subsamples(60, 3, 2, seed=0)
    with pytest.raises(BookError, match="0 workers"):
        audit(blob(60), size=50, runs=1, workers=0)
    with pytest.raises(BookError, match="0 null draws"):
        null_maxima(blob(60), size=50, draws=0)
