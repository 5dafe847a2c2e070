"""The arms of the music comparison are matched, differ where they say, learn, and can be kept; steps of a preset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lib.datasets import music
from lib.errors import BookError
from lib.models import HybridConfig, SelectiveSSM
from lib.trainers import music_arms
from lib.trainers.preset_steps import take_steps

ITEMS = music.windows(music.load()[:8], 32, most=1)


def test_arms_have_equal_parameters():
    totals = [music_arms.build(n, torch.Generator()).component_counts()["total"] for n in music_arms.ARMS]
    assert max(totals) / min(totals) < 1.01
    kept = [n for n, (_, changes) in music_arms.ABLATIONS.items() if "ffn_width" not in changes]
    changed = [music_arms.build(n, torch.Generator()).component_counts()["total"] for n in kept]
    assert max(changed) / min(changed) < 1.01


@pytest.mark.parametrize(
    ("name", "attending", "selective"),
    [("hybrid 3:1", [4], 0), ("transformer", [1, 2, 3, 4], 0), ("gated delta", [], 0), ("selective SSM", [], 4),
     ("SSM hybrid 3:1", [4], 3), ("attention every 2", [2, 4], 0), ("memory caching", [], 0)],
)  # fmt: skip
def test_arms_differ_in_their_mixers(name, attending, selective):
    model = music_arms.build(name, torch.Generator())
    assert [layer for layer in range(1, 5) if model.config.attends(layer)] == attending
    assert sum(isinstance(block.mixer, SelectiveSSM) for block in model.blocks) == selective
    assert (model.config.width, model.config.layers) == (96, 4)


def test_names_and_sizes_that_do_not_exist():
    with pytest.raises(BookError, match="no arm"):
        music_arms.build("perceiver", torch.Generator())
    kind, _ = music_arms.ARMS["hybrid 3:1"]
    with pytest.raises(BookError, match="larger target"):
        music_arms.matched(kind, music_arms.POCKET, 1000)


@pytest.mark.parametrize("name", ["hybrid 3:1", "selective SSM", "memory caching"])
def test_an_arm_learns_and_repeats(name):
    few = music_arms.fit(name, ITEMS, ITEMS[:4], steps=1, seed=3)
    more = music_arms.fit(name, ITEMS, ITEMS[:4], steps=12, seed=3)
    assert more.score.nll < few.score.nll - 0.5
    assert music_arms.fit(name, ITEMS, ITEMS[:4], steps=1, seed=3).score.nll == few.score.nll
    watching = music_arms.fit(name, ITEMS, ITEMS[:4], steps=12, seed=3, watched=ITEMS[:4])
    assert list(watching.curve) == [2, 4, 6, 8, 10, 12]
    assert watching.curve[12] == watching.score.nll == more.score.nll  # looking on changes nothing
    assert more.curve == {}
    each = music_arms.by_piece(more.model, [ITEMS[:1], ITEMS[1:4]])
    assert each.shape == (2,)
    assert np.average(each, weights=[1, 3]) == pytest.approx(more.score.nll, rel=0.02)


def test_an_arm_can_be_kept(tmp_path):
    made = music_arms.build("hybrid 3:1", torch.Generator().manual_seed(2))
    music_arms.save(made, tmp_path / "arm.safetensors")
    again = music_arms.load("hybrid 3:1", tmp_path / "arm.safetensors")
    for one, two in zip(made.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)
    losses = music_arms.last_steps(again, ITEMS, steps=2, seed=0)
    assert len(losses) == 2
    with pytest.raises(BookError, match="does not hold"):
        music_arms.load("transformer", tmp_path / "arm.safetensors")


def test_steps_of_a_preset():
    sizes = {"width": 32, "heads": 2, "kv_heads": 1, "layers": 2, "ffn_width": 16, "vocabulary": 20, "pad": 19}
    small = replace(HybridConfig.music_300m(), **sizes, dropout=0.0)  # dropout draws from torch's own generator
    taken = take_steps(small, steps=30, batch=2, length=16, device="cpu", rate=1e-2)
    assert taken["positions_per_s"] > 0
    assert taken["last"] < taken["first"] - 0.1  # 3.14 to 2.98 nats; ln 19 = 2.94 is the floor
    with pytest.raises(BookError, match="at least one"):
        take_steps(small, steps=0, batch=1, length=4)
    if not torch.cuda.is_available():
        with pytest.raises(BookError, match="no GPU"):
            take_steps(small, steps=1, batch=1, length=4)
