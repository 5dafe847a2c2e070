"""Greedy with and without a cache, beams against all sequences, stops and limits, CTC by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch

from lib.errors import BookError
from lib.models import Seq2Seq, Seq2SeqConfig, matched_gru
from lib.models.seq2seq import BOS, PAD
from lib.models.seq2seq_decoding import beam, ctc_greedy, greedy, greedy_uncached

SMALL = Seq2SeqConfig(
    inputs=5, vocabulary=6, width=8, hidden=12, heads=2, head_width=6, frame_positions=20, token_positions=7
)
LENGTHS = torch.tensor([11, 1, 4, 7, 11, 3])


def model(config=SMALL, seed=1, pad=0.0):
    """Weights large enough that rows differ; pad is added to the logit of the stop."""
    network = Seq2Seq(replace(config, embedding_bound=1.0), torch.Generator().manual_seed(seed)).eval()
    with torch.no_grad():
        network.output.weight.mul_(3)
        network.output.bias[PAD] += pad
    return network


def frames(seed=0):
    return 3 * torch.randn(6, 11, 5, generator=torch.Generator().manual_seed(seed))


def log_probability(network, clip, row):
    """Of a row, its stop included if it has one, by the whole model."""
    tokens = torch.tensor([[BOS, *row[:-1]]])
    steps = network(clip, None, tokens).log_softmax(-1)[0]
    return float(steps[torch.arange(len(row)), torch.tensor(row)].sum().detach())


@pytest.mark.parametrize("config", [SMALL, matched_gru(SMALL)], ids=["attention", "gru"])
@pytest.mark.parametrize("limit", [1, 4, 7])
def test_a_cache_changes_nothing(config, limit):
    rows = set()
    for seed in range(4):
        network = model(config, seed, pad=0.5)
        cached = greedy(network, frames(), LENGTHS, limit)
        whole = greedy_uncached(network, frames(), LENGTHS, limit)
        assert (cached.tokens, cached.stopped) == (whole.tokens, whole.stopped)
        assert cached.scores == pytest.approx(whole.scores, abs=1e-4)
        rows |= {tuple(row) for row in cached.tokens}
    assert len(rows) > 2


def test_rows_stop_on_their_own_and_others_at_the_limit():
    never, always = model(pad=-1e4), model(pad=1e4)
    cut = greedy(never, frames(), LENGTHS, 5)
    assert cut.stopped == [False] * 6
    assert [len(row) for row in cut.tokens] == [5] * 6
    ended = greedy(always, frames(), LENGTHS, 5)
    assert ended.stopped == [True] * 6
    assert ended.tokens == [[]] * 6
    assert beam(never, frames(), LENGTHS, 5, 3).stopped == [False] * 6
    assert beam(always, frames(), LENGTHS, 5, 3).tokens == [[]] * 6


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_one_beam_is_greedy(power):
    network = model(pad=0.5)
    one, other = beam(network, frames(), LENGTHS, 6, 1, power), greedy(network, frames(), LENGTHS, 6)
    assert (one.tokens, one.stopped) == (other.tokens, other.stopped)
    assert one.scores == pytest.approx(other.scores, abs=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_the_likeliest_of_all_sequences(seed):
    network, clip = model(seed=seed, pad=1.0), frames()[:1]
    found = beam(network, clip, None, 3, beams=300)
    letters = [token for token in range(6) if token != PAD]
    rows = [[*row, PAD] for length in range(3) for row in product(letters, repeat=length)]
    best = max(rows, key=lambda row: log_probability(network, clip, row))
    assert found.tokens[0] == best[:-1]
    assert found.stopped == [True]
    assert found.scores[0] == pytest.approx(log_probability(network, clip, best), abs=1e-4)


def test_length_normalisation_favours_longer_rows_and_never_less_likely_means():
    longer = shorter = 0
    for seed in range(6):
        network = model(seed=seed, pad=1.0)
        plain, mean = (beam(network, frames(), LENGTHS, 6, 4, power) for power in (0.0, 1.0))
        for a, b in zip(plain.tokens, mean.tokens, strict=True):
            longer, shorter = longer + (len(b) > len(a)), shorter + (len(b) < len(a))
    assert longer > 0
    assert shorter == 0


def test_what_cannot_be_decoded_is_refused():
    network = model()
    for decode in (greedy, greedy_uncached, beam):
        with pytest.raises(BookError, match=r"limit is 8; it must lie in 1\.\.7"):
            decode(network, frames(), LENGTHS, 8)
    with pytest.raises(BookError, match="beams is 0"):
        beam(network, frames(), LENGTHS, 5, 0)


@pytest.mark.parametrize(
    ("path", "expected"),
    [([1, 1, 0, 1, 2, 2], [1, 1, 2]), ([0, 0, 0], []), ([3, 0, 0, 3, 3], [3, 3]), ([2, 2, 2], [2])],
)
def test_ctc_merges_repeats_then_drops_blanks(path, expected):
    scores = torch.nn.functional.one_hot(torch.tensor([path, path]), 4).float()
    cut = torch.tensor([len(path), 1])
    assert ctc_greedy(scores, cut) == [expected, [path[0]] if path[0] else []]
    assert ctc_greedy(scores)[1] == expected
