"""Importing this module settles how progress bars look: plain text, in every shell.

`tqdm.auto`, which transformers, trl and datasets import, asks at its first import whether it runs in a notebook. There
it takes a bar of widgets, and complains on standard error where ipywidgets is not installed. The book has no widgets,
and what a chapter prints must not hang on what else is installed: so the question is answered beforehand. Modules that
import one of those packages import this one first. Chapter 01.
"""

import sys

import tqdm.std

sys.modules.setdefault("tqdm.autonotebook", tqdm.std)  # where tqdm.auto looks for the bar of the present shell
