"""Several odor maps that differ in their seed alone, each trained once and then read from its file (chapter 04)."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lib.errors import BookError
from lib.models.molecule_graph import MoleculeGraphs
from lib.models.odor_map import OdorMapConfig
from lib.trainers.odor_map import Recipe, Split, TrainedMap, load, save, train
from lib.trainers.stratification import stratified_split

log = logging.getLogger(__name__)


def train_ensemble(
    config: OdorMapConfig,
    graphs: MoleculeGraphs,
    labels: np.ndarray,
    seeds: Sequence[int],
    *,
    epochs: int,
    folder: Path | None = None,
    recipe: Recipe | None = None,
    split_seed: int = 0,
    workers: int = 1,
) -> list[TrainedMap]:
    """One map per seed, all on the same stratified four fifths of graphs [N] and labels, bool [N, L].

    A seed draws weights, orders and dropout. folder: finished maps are kept there, by everything that they depend on,
    and are read instead of trained again; None keeps nothing. workers: with more than one, that many processes train
    members side by side, one thread each, and leave them in the folder. Raises BookError as `odor_map.train` does, and
    for several workers without a folder.
    """
    if workers > 1:
        if folder is None:
            raise BookError(f"{workers} workers have no place to leave their maps: give a folder, or 1 worker")
        one = partial(
            _train_apart, config, graphs, labels, epochs=epochs, folder=folder, recipe=recipe, split_seed=split_seed
        )
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            list(pool.map(one, seeds))
    recipe = recipe or Recipe()
    split = Split(*stratified_split(labels, generator=np.random.default_rng(split_seed)))
    common = fingerprint(config, recipe, epochs, split, graphs, labels)
    found = []
    for seed in seeds:
        kept = folder and folder / f"{common}-{seed}.safetensors"
        if kept and kept.exists():
            log.info("odor map of seed %d: read", seed)
            found.append(load(kept))
            continue
        log.info("odor map of seed %d: training", seed)
        generator = torch.Generator().manual_seed(seed)
        trained = train(config, graphs, labels, split, generator=generator, epochs=epochs, recipe=recipe)
        if kept:
            folder.mkdir(parents=True, exist_ok=True)
            save(trained, kept)
        found.append(trained)
    return found


def _train_apart(config: OdorMapConfig, graphs: MoleculeGraphs, labels: np.ndarray, seed: int, **options: Any) -> None:
    """One member, in a process of its own."""
    torch.set_num_threads(1)
    train_ensemble(config, graphs, labels, [seed], **options)


def fingerprint(
    config: OdorMapConfig, recipe: Recipe, epochs: int, split: Split, graphs: MoleculeGraphs, labels: np.ndarray
) -> str:
    """Sixteen hexadecimal digits of everything but the seed that a trained map depends on."""
    words = json.dumps([asdict(config), asdict(recipe), epochs], sort_keys=True)
    known = hashlib.sha256(words.encode())
    parts = [split.train, split.held_out, np.asarray(labels), *(value.numpy() for value in vars(graphs).values())]
    for part in parts:
        known.update(str((part.dtype, part.shape)).encode() + np.ascontiguousarray(part).tobytes())
    return known.hexdigest()[:16]
