"""In a notebook kernel, with or without widgets, `tqdm.auto` stays plain and nothing is said on standard error."""

import subprocess
import sys

import pytest

IN_A_KERNEL = """
import sys, types
import IPython
sys.modules["ipykernel.zmqshell"] = types.ModuleType("ipykernel.zmqshell")  # what tqdm looks for
{first}
import tqdm.auto, tqdm.asyncio
print(tqdm.auto.tqdm is tqdm.asyncio.tqdm_asyncio)
"""


def _run(first):
    command = [sys.executable, "-W", "default", "-c", IN_A_KERNEL.format(first=first)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


@pytest.mark.parametrize("module", ["models.tag_decoder", "models.pretrained", "trainers.preferences"])
def test_modules_that_reach_transformers_keep_bars_plain(module):
    done = _run(f"import lib.{module}")
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_without_us_a_kernel_gets_a_warning_or_a_widget():
    done = _run("")
    assert done.stdout == "False\n" or "IProgress" in done.stderr
