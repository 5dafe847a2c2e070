"""Two processes through accelerate train what one process with the same global batch trains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lib.trainers.devices import OneDevice

from . import two_processes

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What torchrun with two processes over gloo left behind."""
    folder = tmp_path_factory.mktemp("two")
    module = ["-m", "tests.trainers.two_processes", str(folder)]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *module]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def two(folder) -> list[dict]:
    """The results of both processes."""
    return [json.loads((folder / f"result-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> dict:
    """The result of a single process."""
    return two_processes.run(tmp_path_factory.mktemp("one"), OneDevice())


@pytest.mark.slow
def test_processes_agree(two):
    assert two[0]["world"] == 2
    assert two[0] == two[1]


@pytest.mark.slow
def test_processes_resume_bit_for_bit(two):
    """With dropout: each process goes on with its own random state."""
    assert two[0]["resumed is whole"]
    assert two[1]["resumed is whole"]


@pytest.mark.slow
def test_same_losses_as_one_process(one, two):
    """Loss, NLL, gradient norm, targets and evaluations, to 1e-5 relative; micro-batches and lengths differ."""
    assert len(one["history"]) == len(two[0]["history"]) == 4 + 2 * 2
    for ours, theirs in zip(one["history"], two[0]["history"], strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert theirs[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-5)), name
    losses = [record["loss"] for record in one["history"] if record["kind"] == "train"]
    assert np.ptp(losses) > 1e-3


@pytest.mark.slow
def test_same_weights_as_one_process(one, two):
    for name, weight in one["weights"].items():
        np.testing.assert_allclose(two[0]["weights"][name], weight, atol=2e-5, err_msg=name)


@pytest.mark.slow
def test_the_first_process_saves_for_all(folder):
    names = sorted(path.name for path in (folder / "checkpoints").glob("*.json"))
    assert names == ["step-00000002.json", "step-00000004.json"]
    body = json.loads((folder / "checkpoints" / names[-1]).read_text())["body"]
    assert body["tree"]["settings"]["processes"] == 2
