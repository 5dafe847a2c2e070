"""Training of the readers: a task learned, each loss, gaps, the arms, their files and their store."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lib.errors import BookError
from lib.models import IsolatedLetters, Seq2Seq, SignerEmbedding
from lib.trainers import ReaderStore, reading_arms
from lib.trainers import seq2seq as training
from lib.trainers.reading_arms import SMALL
from lib.trainers.seq2seq import Examples, Schedule

TINY = replace(SMALL, inputs=6, vocabulary=7, width=16, hidden=24, heads=2, head_width=8)


def toy(count=160, seed=0, inputs=6):
    """Two or three of four symbols, each held for three frames as a one-hot input, with noise."""
    rng = np.random.default_rng(seed)
    rows = [[3 + int(x) for x in rng.permutation(4)[: rng.integers(2, 4)]] for _ in range(count)]
    shapes = np.eye(inputs, dtype=np.float32)
    clips = [np.repeat(shapes[np.array(row) - 3], 3, axis=0) for row in rows]
    noisy = [(clip + 0.1 * rng.normal(size=clip.shape)).astype(np.float32) for clip in clips]
    return Examples(noisy, rows)


def test_padding_and_targets():
    frames, lengths = training.padded([np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)])
    assert frames.shape == (2, 4, 3)
    assert lengths.tolist() == [2, 4]
    assert not frames[0, 2:].any()
    inputs, targets = training.targets_of([[5, 6], [7]])
    assert inputs.tolist() == [[1, 5, 6], [1, 7, 0]]
    assert targets.tolist() == [[5, 6, 0], [7, 0, 0]]


def test_batches_hold_each_clip_once_and_like_lengths_together():
    lengths = np.random.default_rng(0).integers(5, 200, 100)
    parts = training.batches(lengths, 10, np.random.default_rng(1))
    assert sorted(np.concatenate(parts)) == list(range(100))
    assert np.mean([np.ptp(lengths[part]) for part in parts]) < 60


def test_a_small_task_is_learned_and_the_decoder_stops():
    model = Seq2Seq(TINY, torch.Generator().manual_seed(0))
    trained = training.train(model, toy(), Schedule(220, 16, 5e-3, 10), 0)
    assert trained.losses[-1] < trained.losses[0] / 4
    fresh = toy(40, seed=9)
    found = reading_arms.read(trained, fresh.clips, limit=8)
    assert np.mean([row == goal for row, goal in zip(found.tokens, fresh.tokens, strict=True)]) > 0.8
    assert np.mean(found.stopped) > 0.95


def test_without_pads_in_the_loss_it_does_not_stop():
    model = Seq2Seq(TINY, torch.Generator().manual_seed(0))
    trained = training.train(model, toy(), Schedule(120, 16, 5e-3, 10, rule="no_pads"), 0)
    assert not any(reading_arms.read(trained, toy(20, 9).clips, limit=8).stopped)


def test_ctc_alone_learns_the_small_task():
    model = Seq2Seq(TINY, torch.Generator().manual_seed(0))
    trained = training.train(model, toy(), Schedule(200, 16, 5e-3, 10, ctc=1.0), 0)
    fresh = toy(40, seed=9)
    rows = reading_arms.read_ctc(trained, fresh.clips)
    assert np.mean([row == goal for row, goal in zip(rows, fresh.tokens, strict=True)]) > 0.7


def test_equal_seeds_give_equal_weights_and_a_watch_changes_nothing():
    seen = []
    one, two, three = (Seq2Seq(TINY, torch.Generator().manual_seed(2)) for _ in range(3))
    training.train(one, toy(), Schedule(6, 16), 5)
    training.train(two, toy(), Schedule(6, 16), 5, watch=lambda step, model: seen.append(step), every=2)
    training.train(three, toy(), Schedule(6, 16), 6)
    same = [torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)]
    assert all(same)
    assert seen == [2, 4, 6]
    assert not torch.equal(one.output.weight, three.output.weight)


def test_gaps_hide_a_third_in_runs_within_the_clip():
    lengths = np.array([1, 3, 30, 61])
    mask = training.gap_mask(lengths, 61, 4, np.random.default_rng(0)).numpy()
    for row, length in enumerate(lengths):
        assert not mask[row, length:].any()
        assert max(1, length // 3) <= mask[row].sum() <= length // 3 + 4


def test_pretraining_fills_gaps_better_with_time():
    clips = toy(100).clips
    model = Seq2Seq(TINY, torch.Generator().manual_seed(0))
    losses = training.pretrain(model, clips, Schedule(120, 16, 5e-3, 10), 0).losses
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])


def test_windows_are_learned():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    windows = (np.eye(6)[labels][:, None] + 0.1 * rng.normal(size=(200, 5, 6))).astype(np.float32)
    model = training.train_windows(IsolatedLetters(6, 5, 4, torch.Generator().manual_seed(0)), windows, labels, 0, 80)
    assert (model(torch.from_numpy(windows)).argmax(1).numpy() == labels).mean() > 0.95
    with pytest.raises(BookError, match=r"give \[B, 5, 6\]"):
        model(torch.zeros(1, 4, 6))
    with pytest.raises(BookError, match="at least 3 frames"):
        IsolatedLetters(6, 2, 4, torch.Generator())


def test_a_signer_vector_starts_at_nothing_and_is_trained():
    net = SignerEmbedding(6, 16, torch.Generator().manual_seed(0))
    clips = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(1))
    assert not net(clips).any()
    given = toy(32)
    given = replace(given, calibration=np.random.default_rng(0).normal(size=(32, 5, 6)).astype(np.float32))
    trained = training.train(Seq2Seq(TINY, torch.Generator().manual_seed(0)), given, Schedule(4, 16), 0, signer=net)
    assert trained.signer(clips).any()
    with pytest.raises(BookError, match="calibration"):
        training.train(Seq2Seq(TINY, torch.Generator().manual_seed(0)), toy(8), Schedule(1), 0, signer=net)
    with pytest.raises(BookError, match=r"give \[B, T, 6\]"):
        net(torch.zeros(2, 3, 5))


def lessons(count=24):
    return dict.fromkeys(("phrases", "with_letters", "american"), toy(count, inputs=70))


@pytest.mark.parametrize("name", reading_arms.ARMS)
def test_every_arm_learns_and_comes_back_from_its_file(name, tmp_path):
    trained = reading_arms.learn(name, lessons(), 1, 2, unlabelled=toy(24, inputs=70).clips)
    reading_arms.save({name: trained}, tmp_path / "arms.safetensors")
    again = reading_arms.load(tmp_path / "arms.safetensors")[name]
    weights = zip(trained.model.state_dict().values(), again.model.state_dict().values(), strict=True)
    for one, two in weights:
        torch.testing.assert_close(one.half().float(), two)
    assert (again.ctc_head is None) == (reading_arms.get(name).ctc == 0)
    if again.ctc_head is None:
        with pytest.raises(BookError, match="no CTC head"):
            reading_arms.read_ctc(again, toy(2, inputs=70).clips)


@pytest.mark.parametrize("name", ["attention", "joint", "gru", "pretrained"])
def test_a_store_gives_back_the_same_reader_and_only_for_the_same_lessons(name, tmp_path):
    store, clips = ReaderStore(tmp_path), toy(24, inputs=70).clips
    first = store.learn(name, lessons(), 1, 2, clips)
    again = store.learn(name, lessons(), 1, 2, clips)
    plain = ReaderStore(None).learn(name, lessons(), 1, 2, clips)
    for one, two, three in zip(*(t.model.state_dict().values() for t in (first, again, plain)), strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)
    assert again.losses == plain.losses
    assert len(list(tmp_path.iterdir())) == 1
    store.learn(name, lessons(25), 1, 2, clips)
    store.learn(name, lessons(), 2, 2, clips)
    store.learn(name, lessons(), 1, 3, clips)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_store_keeps_a_signer_network(tmp_path):
    given = replace(toy(16, inputs=70), calibration=np.ones((16, 5, 70), np.float32))
    nets = [SignerEmbedding(70, 64, torch.Generator().manual_seed(0)) for _ in range(2)]
    found = [ReaderStore(tmp_path).learn("attention", {"phrases": given}, 1, 3, signer=net) for net in nets]
    clips = torch.from_numpy(given.calibration)
    assert torch.equal(found[0].signer(clips), found[1].signer(clips))
    assert found[1].signer(clips).any()
    rows = reading_arms.read(found[1], given.clips, limit=4, calibration=given.calibration).tokens
    assert len(rows) == 16
    assert len(list(tmp_path.iterdir())) == 1


def test_reading_keeps_the_order_of_clips():
    trained = reading_arms.learn("attention", lessons(), 1, 3)
    clips = toy(10, seed=4, inputs=70).clips
    together = reading_arms.read(trained, clips, limit=6, batch=3).tokens
    assert together == [reading_arms.read(trained, [clip], limit=6).tokens[0] for clip in clips]


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(BookError, match="there is no arm 'lstm'"):
        reading_arms.get("lstm")
    with pytest.raises(BookError, match="0 clips"):
        Examples([], [])
    with pytest.raises(BookError, match="steps and batch from 1"):
        Schedule(steps=0)
    (tmp_path / "none.safetensors").write_bytes(b"no")
    with pytest.raises(BookError, match="holds no arms"):
        reading_arms.load(tmp_path / "none.safetensors")


def test_one_arm_alone_drops_and_differs_in_nothing_else():
    assert reading_arms.config("dropout") == replace(SMALL, dropout=0.1)
    assert reading_arms.get("dropout") == replace(reading_arms.get("attention"), dropout=0.1)
    assert not any(reading_arms.config(name).dropout for name in reading_arms.ARMS if name != "dropout")
