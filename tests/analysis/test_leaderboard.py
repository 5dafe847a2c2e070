"""Correlations against scipy, clusters that move together, and rules that decide as they are written."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from lib.analysis.adjudication import Adjudication, adjudicate, branch, gate_of, read_out
from lib.analysis.leaderboard import Condition, leaderboard
from lib.analysis.sensitivity import Distortions
from lib.errors import BookError

N, TOKENS = 12, 10


def condition(rng, cost, *, r2, swd, stream="a", cluster="a"):
    """A condition whose mean cost, 1 - R2 and SWD are given, with noise between sequences."""

    def noisy(value):
        return value * TOKENS * rng.uniform(0.8, 1.2, N)

    ones = np.full(N, float(TOKENS))
    found = Distortions(
        errors=noisy(r2),
        totals=ones,
        squares=2 * ones,
        cosines=ones * (1 - r2 / 2),
        slopes=noisy(cost),
        absolute_slopes=noisy(swd**0.5),
        squared_slopes=noisy(swd),
        curvatures=noisy(cost),
        divergences=noisy(cost),
        losses=3 * ones + noisy(cost),
        clean=3 * ones,
        tokens=ones,
        predicted=ones,
    )
    return Condition(found, stream, cluster)


def conditions(r2_sees, count=24, clusters=6):
    rng, found = np.random.default_rng(0), []
    for i in range(count):
        cost = rng.uniform(0.01, 1)
        r2 = cost if r2_sees else rng.uniform(0.01, 1)
        name = str(i % clusters)
        found.append(condition(rng, cost, r2=r2, swd=cost, stream=name, cluster=name))
    return found


def board(found, **options):
    return leaderboard(found, generator=np.random.default_rng(1), draws=200, **options)


def test_correlations_are_scipys():
    found = conditions(False)
    added = [one.found.added for one in found]
    for name in ("r2", "swd", "second"):
        values = [float(one.found.proxies()[name]) for one in found]
        assert board(found).correlation[name] == pytest.approx(spearmanr(values, added).statistic)
    swd = [float(one.found.proxies()["swd"]) for one in found]
    r2 = [1 - float(one.found.proxies()["r2"]) for one in found]
    kept = [1 - float(one.found.targets()["ce"]) for one in found]
    as_posted = board(found, measure="pearson", target="ce")
    assert as_posted.correlation["swd"] == pytest.approx(pearsonr(1 / np.array(swd), kept).statistic)
    assert as_posted.correlation["r2"] == pytest.approx(pearsonr(r2, kept).statistic)


def test_a_proxy_that_sees_wins_over_one_that_does_not():
    found = board(conditions(False))
    assert found.verdict("swd") == "wins"
    assert found.ranking[-1] in ("r2", "nmse", "cosine")
    low, high = found.interval["swd"]
    assert low <= found.correlation["swd"] <= high + 0.05


def test_two_that_see_tie():
    found = board(conditions(True))
    assert found.verdict("swd") == "ties"
    assert found.lift["r2"] == 0
    assert found.lift_interval["r2"] == (0, 0)


def test_resampled_models_widen_the_interval():
    """One model with a trend of its own counts as one observation, not as its many conditions."""
    rng = np.random.default_rng(0)
    many = [
        condition(rng, cost, r2=cost + 0.05, swd=1 - cost if name == "0" else cost, stream=name, cluster=name)
        for name in "0123"
        for cost in np.linspace(0.1, 0.9, 6)
    ]
    alone = [Condition(one.found, one.stream, str(i)) for i, one in enumerate(many)]
    widths = [np.ptp(board(found).interval["swd"]) for found in (many, alone)]
    assert widths[0] > 1.2 * widths[1]


def test_within_a_model_scale_cannot_help():
    """Cost and R2 both differ between models; inside one they have nothing to do with each other."""
    rng, found = np.random.default_rng(0), []
    for model in range(6):
        for i in range(5):
            cost, r2 = 0.1 * (model + 1) + 0.01 * i, 0.1 * (model + 1) + 0.01 * ((3 * i) % 5)
            found.append(condition(rng, cost, r2=r2, swd=cost, stream=str(model), cluster=str(model)))
    assert board(found).correlation["r2"] > 0.9
    inside = board(found, within=True)
    assert inside.correlation["r2"] < 0.6
    assert inside.correlation["swd"] > inside.correlation["r2"]


def test_the_same_generator_gives_the_same_board():
    assert board(conditions(False)) == board(conditions(False))


def test_too_few_conditions_are_refused():
    with pytest.raises(BookError, match="give 3 or more"):
        board(conditions(False)[:2])
    with pytest.raises(BookError, match="give 3 or more"):
        board(conditions(False, count=6), within=True)


def gap(mean, half=None):
    return SimpleNamespace(mean=mean, interval=half and (mean - half, mean + half))


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [
        ({10: gap(-0.2, 0.02), 40: gap(-0.19, 0.02)}, "H1"),
        ({10: gap(-0.2, 0.02), 40: gap(-0.001, 0.004)}, "H0"),
        ({10: gap(-0.2, 0.02), 40: gap(-0.1, 0.02)}, "open"),
        ({10: gap(-0.2, 0.02), 40: gap(-0.2, 0.3)}, "open"),
        ({10: gap(-0.2), 40: gap(-0.2)}, "open"),
        ({10: gap(-0.2, 0.02), 2: gap(0.5, 0.02), 40: gap(-0.19, 0.02)}, "H1"),
    ],
    ids=["stays", "goes", "moves", "wide", "one seed", "the last two budgets count"],
)
def test_the_rules_decide(gaps, verdict):
    assert adjudicate(gaps).verdict == verdict


def test_the_gate_opens_when_nothing_is_open():
    h0, h1, undecided = (Adjudication(verdict, "") for verdict in ("H0", "H1", "open"))
    assert gate_of([h0, undecided]) == gate_of([h1, undecided]) == gate_of([]) == "shut"
    assert gate_of([h0, h0]) == "H0"
    assert gate_of([h0, h1]) == "H1"
    assert read_out("shut", "wins") == "not read"
    assert read_out("H0", "wins") == "no gap is left to explain"
    assert read_out("H1", "wins") == "sensitivity"


def test_one_budget_decides_nothing():
    with pytest.raises(BookError, match="at least 2"):
        adjudicate({10: gap(0.1, 0.01)})


def test_the_tree_has_two_branches():
    assert branch("wins") == "sensitivity"
    assert branch("ties") == branch("loses") == "variance or higher order"
    with pytest.raises(BookError, match="give wins, ties or loses"):
        branch("holds")
