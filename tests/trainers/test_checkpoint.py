"""Checkpoints that are whole or absent: corruption, full disks, rotation, litter of killed processes."""

from __future__ import annotations

import errno
import json
import logging
import resource
from pathlib import Path

import numpy as np
import pytest
import torch

from lib.errors import BookError
from lib.trainers import CheckpointStore
from lib.trainers.checkpoint import save_safetensors


def tree_of(value: float) -> dict:
    weights = {"a": torch.full((3, 4), value), "b": torch.tensor(7, dtype=torch.int64)}
    return {"weights": weights, "history": [{"step": 1, "loss": 0.1 + 0.2}, None, True], "name": "x", "empty": {}}


def same(left: object, right: object) -> bool:
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_round_trip(tmp_path):
    store = CheckpointStore(tmp_path / "run")
    assert store.load() is None
    store.save(5, tree_of(1.5))
    step, tree = store.load()
    assert step == 5
    assert same(tree, tree_of(1.5))
    assert not same(tree, tree_of(1.6))


def test_strange_floats_and_shared_memory(tmp_path):
    weight = torch.randn(4, 4)
    tree = {"tied": [weight, weight.t(), weight[1:]], "nan": float("nan"), "bf16": torch.ones(2, dtype=torch.bfloat16)}
    store = CheckpointStore(tmp_path)
    store.save(1, tree)
    _, back = store.load()
    assert same(back["tied"], [weight, weight.t().contiguous(), weight[1:]])
    assert back["nan"] != back["nan"]
    assert back["bf16"].dtype == torch.bfloat16


def test_rotation_keeps_the_newest(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    for step in (1, 2, 3, 4):
        store.save(step, tree_of(step))
    assert store.steps() == [3, 4]
    assert len(names(tmp_path)) == 4
    assert same(store.read(3), tree_of(3))


def test_saving_a_step_again_replaces_it(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    store.save(1, tree_of(1))
    store.save(1, tree_of(2))
    assert same(store.read(1), tree_of(2))
    assert len(names(tmp_path)) == 2


def test_litter_of_a_killed_process_goes(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save(1, tree_of(1))
    (tmp_path / ".partial-step-00000002.safetensors").write_bytes(b"half")
    (tmp_path / "step-00000002-0123456789ab.safetensors").write_bytes(b"no record names me")
    (tmp_path / "notes.txt").write_text("not ours")
    assert store.load()[0] == 1
    store.save(3, tree_of(3))
    assert [name for name in names(tmp_path) if "00000002" in name] == []
    assert "notes.txt" in names(tmp_path)
    assert store.steps() == [1, 3]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def edit(path: Path) -> None:
    record = json.loads(path.read_text())
    record["body"]["tree"]["name"] = "another"
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        pytest.param("step-00000002-*.safetensors", flip, id="one bit of the tensors"),
        pytest.param("step-00000002-*.safetensors", cut, id="end of the tensors"),
        pytest.param("step-00000002-*.safetensors", empty, id="empty tensors"),
        pytest.param("step-00000002-*.safetensors", Path.unlink, id="no tensors"),
        pytest.param("step-00000002.json", flip, id="one bit of the record"),
        pytest.param("step-00000002.json", cut, id="end of the record"),
        pytest.param("step-00000002.json", empty, id="empty record"),
        pytest.param("step-00000002.json", edit, id="a value of the record"),
    ],
)
def test_a_corrupt_checkpoint_is_passed_over(tmp_path, caplog, pattern, damage):
    store = CheckpointStore(tmp_path)
    store.save(1, tree_of(1))
    store.save(2, tree_of(2))
    (path,) = tmp_path.glob(pattern)
    damage(path)
    with caplog.at_level(logging.WARNING):
        step, tree = store.load()
    assert step == 1
    assert same(tree, tree_of(1))
    assert str(path) in caplog.text
    store.save(2, tree_of(2))
    assert same(store.load()[1], tree_of(2))


def test_a_step_before_a_corrupt_one_replaces_it(tmp_path):
    store = CheckpointStore(tmp_path, keep=2)
    for step in (2, 4, 6):
        store.save(step, tree_of(step))
    empty(tmp_path / "step-00000006.json")
    store.save(5, tree_of(5))
    assert store.steps() == [4, 5]


def test_all_corrupt(tmp_path):
    store = CheckpointStore(tmp_path)
    store.save(1, tree_of(1))
    empty(tmp_path / "step-00000001.json")
    with pytest.raises(BookError, match="every checkpoint"):
        store.load()


def full_after(size: int):
    """A tensor writer on a disk with room for `size` bytes."""

    def write(tensors, path):
        save_safetensors(tensors, path)
        data = path.read_bytes()
        path.write_bytes(data[:size])
        if len(data) > size:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    return write


@pytest.mark.parametrize("size", [0, 40], ids=["no byte fits", "half a header fits"])
def test_a_full_disk_leaves_the_last_good(tmp_path, size):
    CheckpointStore(tmp_path).save(1, tree_of(1))
    before = names(tmp_path)
    with pytest.raises(BookError, match=r"No space left on device.*step 1 is the last good one") as error:
        CheckpointStore(tmp_path, write_tensors=full_after(size)).save(2, tree_of(2))
    assert "\n" not in str(error.value)
    assert names(tmp_path) == before
    assert same(CheckpointStore(tmp_path).load()[1], tree_of(1))


def test_a_full_disk_at_the_record(tmp_path, monkeypatch):
    """The tensors fit and the record does not: the tensors go too, since they would only fill the disk."""
    store = CheckpointStore(tmp_path)
    store.save(1, tree_of(1))

    def refuse(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", refuse)
        with pytest.raises(BookError, match="step 2 could not be saved"):
            store.save(2, tree_of(2))
    assert store.load()[0] == 1
    assert len(names(tmp_path)) == 2


def test_a_limit_of_the_system(tmp_path):
    """The same with the system itself refusing: files may not grow beyond 20 kB."""
    store = CheckpointStore(tmp_path)
    store.save(1, tree_of(1))
    before = names(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(BookError, match="step 2 could not be saved"):
            store.save(2, {"weights": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == before
    assert store.load()[0] == 1


@pytest.mark.parametrize(
    ("tree", "place"),
    [
        pytest.param({"a": {1: 2}}, "tree/a has the key 1", id="integer key"),
        pytest.param({"a": [np.float64(1)]}, "tree/a/0 is a float64", id="numpy number"),
        pytest.param({"a": {1, 2}}, "tree/a is a set", id="set"),
        pytest.param({"a": {"$tensor": 1}}, "tensor", id="reserved key"),
    ],
)
def test_what_a_checkpoint_cannot_hold(tmp_path, tree, place):
    with pytest.raises(BookError) as error:
        CheckpointStore(tmp_path).save(1, tree)
    assert place in str(error.value)
    assert names(tmp_path) == []


def test_keep_is_checked(tmp_path):
    with pytest.raises(BookError, match="keep=0"):
        CheckpointStore(tmp_path, keep=0)


def test_nothing_is_pickled(tmp_path):
    """Every byte of a checkpoint is JSON or safetensors."""
    CheckpointStore(tmp_path).save(1, tree_of(1))
    kinds = {path.suffix for path in tmp_path.iterdir()}
    assert kinds == {".json", ".safetensors"}
    (tensors,) = tmp_path.glob("*.safetensors")
    assert tensors.read_bytes()[8:9] == b"{"
