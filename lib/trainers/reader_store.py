"""Trained readers kept on disk, so that a long run that was stopped goes on where it stood.

A reader is found again only under the digest of everything that decides its weights: the arm, its sizes, seed and
updates, every number it learns from, the code of the trainer and the model, and the version of torch. So a store can
be thrown away or shared between runs, and never changes a result.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lib.models import calibration, layers, seq2seq
from lib.trainers import optimiser, reading_arms, sequence_loss
from lib.trainers import seq2seq as training
from lib.trainers.seq2seq import Examples, Trained

logger = logging.getLogger(__name__)
CODE = (calibration, layers, seq2seq, optimiser, reading_arms, sequence_loss, training)


class ReaderStore:
    """Readers under a folder; None keeps nothing. Chapter 02, the full run."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def learn(
        self,
        name: str,
        lessons: Mapping[str, Examples],
        seed: int,
        most: int,
        unlabelled: Sequence[np.ndarray] = (),
        times: int = 1,
        signer: nn.Module | None = None,
    ) -> Trained:
        """`reading_arms.learn`, or the reader that it gave before. signer: a network, trained along in place."""
        given = {"unlabelled": unlabelled, "times": times, "signer": signer}
        if self.folder is None:
            return reading_arms.learn(name, lessons, seed, most, **given)
        examples = lessons[reading_arms.get(name).lessons]
        path = self.folder / f"{name}.{seed}.{key(name, examples, seed, most, unlabelled, times, signer)}.safetensors"
        if path.exists():
            return _read(path, name, signer)
        trained = reading_arms.learn(name, lessons, seed, most, **given)
        _write(path, trained)
        logger.info("reader %s, seed %d: loss %.3f at the end", name, seed, trained.losses[-1])
        return trained


def key(
    name: str,
    examples: Examples,
    seed: int,
    most: int,
    unlabelled: Sequence[np.ndarray],
    times: int,
    signer: nn.Module | None,
) -> str:
    """Sixteen hexadecimal digits of all that decides a reader's weights."""
    whole = hashlib.sha256()
    for part in CODE:
        whole.update(inspect.getsource(part).encode())
    facts = (name, reading_arms.get(name), reading_arms.config(name), seed, most, times, torch.__version__)
    whole.update(repr((*facts, [list(row) for row in examples.tokens])).encode())
    for clip in (*examples.clips, *unlabelled):
        whole.update(repr(clip.shape).encode() + np.ascontiguousarray(clip).tobytes())
    if examples.calibration is not None:
        whole.update(examples.calibration.tobytes())
    if signer is not None:
        for weight in signer.state_dict().values():
            whole.update(weight.numpy().tobytes())
    return whole.hexdigest()[:16]


def _write(path: Path, trained: Trained) -> None:
    from safetensors.torch import save_file

    parts = {"model": trained.model, "head": trained.ctc_head, "signer": trained.signer}
    modules = nn.ModuleDict({part: module for part, module in parts.items() if module is not None})
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = path.with_suffix(".partial")
    save_file(modules.state_dict() | {"losses": torch.tensor(trained.losses, dtype=torch.float64)}, waiting)
    os.replace(waiting, path)


def _read(path: Path, name: str, signer: nn.Module | None) -> Trained:
    from safetensors.torch import load_file

    tensors = load_file(path)
    losses = tuple(tensors.pop("losses").tolist())
    model, head = reading_arms.empty(name)
    parts = {"model": model, "head": head, "signer": signer}
    modules = nn.ModuleDict({part: module for part, module in parts.items() if module is not None})
    modules.load_state_dict(tensors)
    modules.eval()
    return Trained(model, losses, head, signer)
