"""In a notebook kernel or a terminal, with or without widgets, no bar is drawn and standard error stays empty."""

import subprocess
import sys

import pytest

A_BAR = """
import sys, types
import IPython
sys.modules.update({kernel})  # what tqdm looks for
{first}
import tqdm.auto
print([*tqdm.auto.tqdm(range(3), desc="shown"), *tqdm.auto.trange(2)])
"""
KERNEL = '{"ipykernel.zmqshell": types.ModuleType("ipykernel.zmqshell")}'


def _run(first, kernel):
    command = [sys.executable, "-W", "default", "-c", A_BAR.format(first=first, kernel=kernel)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("kernel", [KERNEL, "{}"], ids=["kernel", "terminal"])
@pytest.mark.parametrize("module", ["models.tag_decoder", "models.pretrained", "trainers.preferences"])
def test_modules_that_reach_transformers_draw_no_bars(module, kernel):
    done = _run(f"import lib.{module}", kernel)
    assert (done.stdout, done.stderr) == ("[0, 1, 2, 0, 1]\n", "")


def test_without_us_there_would_be_something_to_see():
    kernel, terminal = (_run("", where) for where in (KERNEL, "{}"))
    assert "IProgress" in kernel.stderr or "shown" in kernel.stdout
    assert "shown" in terminal.stderr
