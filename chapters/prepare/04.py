"""Prepare chapter 04: two small odor maps, trained on the pocket table that ships with the book."""

from pathlib import Path

import numpy as np
import torch

from lib.datasets import odor
from lib.models import OdorMapConfig, molecule_graphs
from lib.trainers import odor_map
from lib.trainers.odor_ensemble import train_ensemble

EPOCHS = {"teach": 200, "smoke": 1}  # 800 steps: the table is a tenth of the curated one, and so are its epochs
SMALL = {"node_width": 50, "edge_hidden": 32, "bond_width": 50, "hidden": (196, 196), "embedding": 256}
LEAST = 10  # molecules that a descriptor needs before it becomes a label


def prepare(folder: Path, profile: str) -> None:
    """Write 04_map_0 and 04_map_1, half the widths of the full network and the same 256 numbers at the end."""
    torch.set_num_threads(1)
    table = odor.load("pocket")
    graphs = molecule_graphs(odor.molecules(table["smiles"]))
    labels = odor.label_matrix(table)
    labels = np.ascontiguousarray(labels[:, labels.sum(axis=0) >= LEAST])
    config = OdorMapConfig(labels=labels.shape[1], **SMALL)
    for seed, trained in enumerate(train_ensemble(config, graphs, labels, [0, 1], epochs=EPOCHS[profile])):
        odor_map.save(trained, folder / f"04_map_{seed}.safetensors", torch.float16)
