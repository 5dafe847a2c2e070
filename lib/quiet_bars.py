"""Importing this module settles what becomes of other packages' progress bars: they are not drawn, in any shell.

`tqdm.auto`, which transformers, trl and datasets import, asks at its first import whether it runs in a notebook. There
it takes a bar of widgets, and complains on standard error where ipywidgets is not installed; anywhere else it draws on
standard error. The book has neither bars nor widgets, and what a chapter prints must not hang on what else is
installed: so the question is answered beforehand. Modules that import one of those packages import this one first;
long work reports through the logger. Chapter 01.
"""

import sys
from types import ModuleType
from typing import Any

import tqdm.std


class SilentBar(tqdm.std.tqdm):
    """A progress bar that counts and draws nothing."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **(options | {"disable": True}))


_answer = ModuleType("tqdm.autonotebook")  # where tqdm.auto looks for the bar of the present shell
_answer.tqdm = SilentBar
sys.modules.setdefault("tqdm.autonotebook", _answer)
