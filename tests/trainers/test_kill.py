"""A run that is killed at random moments ends bit for bit where an undisturbed one does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_killed_runs_end_where_they_would_have():
    command = [sys.executable, "-m", "tests.trainers.kill", "--runs", "2", "--seed", "3"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kills = [int(n) for n in re.findall(r"run \d+: (\d+) kills", done.stdout)]
    assert len(kills) == 2
    assert min(kills) >= 1
    assert done.stdout.splitlines()[-1].endswith("0 different")
