"""Train an odor map as OpenPOM did (released code at 5434c4b), and score it on molecules it has not seen.

Three things of that code are not what one would think from its prose, and the defaults here follow the code, since the
reported scores are its scores. Its imbalance ratio is a label's count over the largest count, so that rare labels weigh
less, not more; its cross-entropy is a softmax over (1 - x, x) for an output x, so that the probability it trains is
sigmoid(2 x - 1); and its weight decay is not Adam's but a term of the loss, the 1-norms and 2-norms of the weights.
Left out of that code: it fills the last batch of an epoch up with copies of weight zero; here it is just smaller.

    graphs = molecule_graphs(odor.molecules(table["smiles"]))
    split = Split(*stratified_split(labels, generator=np.random.default_rng(0)))
    trained = odor_map.train(OdorMapConfig(), graphs, labels, split, generator=torch_generator, epochs=62)

The same generator state at one thread gives the same bits.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lib.errors import BookError
from lib.models.molecule_graph import MoleculeGraphs
from lib.models.odor_map import OdorMap, OdorMapConfig

logger = logging.getLogger(__name__)
CHUNK = 256  # molecules in one pass without gradients; any number gives the same up to rounding


@dataclass(frozen=True)
class Split:
    """Row numbers of the molecules to learn from and of those held out."""

    train: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True)
class Recipe:
    """How the weights are found; the defaults are OpenPOM's. Raises BookError for values that make no training."""

    batch: int = 128
    """Molecules per step; each epoch visits all, in a new order, and its last step takes what is left."""
    rate: float = 1e-3
    """Adam's first learning rate."""
    halve_every: int = 640
    """Steps after which the rate is halved, again and again: 20 epochs of the full table."""
    penalty: float = 1e-5
    """Factor on the sum, over all weights that are no biases, of their 1-norm and 2-norm."""
    imbalance: Literal["count over most", "most over count"] = "count over most"
    """The ratio r of a label, whose weight is log(1 + r): as released, or as its documentation says."""

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise BookError(f"batch={self.batch}; batch normalisation needs at least 2 molecules")
        if not self.rate > 0 or self.halve_every < 1 or self.penalty < 0:
            values = f"rate={self.rate}, halve_every={self.halve_every}, penalty={self.penalty}"
            raise BookError(f"{values}; they must be above 0, at least 1, and not negative")
        if self.imbalance not in ("count over most", "most over count"):
            raise BookError(f"imbalance={self.imbalance!r}; use 'count over most' or 'most over count'")


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to."""

    epoch: int
    """Counted from 1."""
    step: int
    """Updates so far."""
    rate: float
    """Learning rate of the last update."""
    loss: float
    """Mean over molecules of the weighted cross-entropy in training, without the penalty."""
    held_out_auroc: float | None
    """Macro AUROC on the held-out molecules; None where it was not asked for."""


@dataclass(frozen=True)
class TrainedMap:
    """A trained network, what it was trained with, and how it went."""

    model: OdorMap
    recipe: Recipe
    split: Split
    history: tuple[Epoch, ...]

    @property
    def held_out_auroc(self) -> float:
        """Macro AUROC on the held-out molecules after the last epoch."""
        return self.history[-1].held_out_auroc


def train(
    config: OdorMapConfig,
    graphs: MoleculeGraphs,
    labels: np.ndarray,
    split: Split,
    *,
    generator: torch.Generator,
    epochs: int,
    recipe: Recipe = Recipe(),
    evaluate_every: int = 5,
    log: Callable[[Epoch], None] | None = None,
) -> TrainedMap:
    """Train a new network on the rows `split.train` of graphs [N] and labels, bool [N, L].

    generator: draws weights, orders and dropout, on the CPU. The held-out AUROC is taken every `evaluate_every` epochs
    and after the last. log: called after each epoch. Raises BookError when labels, graphs, config and split do not fit.
    Chapter 04, a map of our own.
    """
    targets = check(config, graphs, labels, split, epochs)
    weights = torch.from_numpy(label_weights(labels[split.train], recipe.imbalance)).float()
    model = OdorMap(config, generator)
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.rate, fused=True)
    rows, history, step = torch.from_numpy(split.train), [], 0
    for epoch in range(1, epochs + 1):
        model.train()
        summed = 0.0
        for batch in batches(rows, recipe.batch, generator):
            rate = recipe.rate * 0.5 ** (step // recipe.halve_every)
            optimiser.param_groups[0]["lr"] = rate
            output, _ = model(graphs.select(batch), generator)
            loss = weighted_cross_entropy(output, targets[batch], weights)
            optimiser.zero_grad()
            (loss + recipe.penalty * weight_norms(model)).backward()
            optimiser.step()
            summed += float(loss.detach()) * len(batch)
            step += 1
        asked = epoch % evaluate_every == 0 or epoch == epochs
        score = score_rows(model, graphs, labels, split.held_out) if asked else None
        history.append(Epoch(epoch, step, rate, summed / len(rows), score))
        logger.info("epoch %d of %d: loss %.4f, held-out AUROC %s", epoch, epochs, history[-1].loss, score)
        if log is not None:
            log(history[-1])
    return TrainedMap(model.eval(), recipe, split, tuple(history))


def check(config: OdorMapConfig, graphs: MoleculeGraphs, labels: np.ndarray, split: Split, epochs: int) -> Tensor:
    """The labels as a float tensor [N, L], once everything fits. Raises BookError when it does not."""
    labels = np.asarray(labels)
    if labels.dtype != bool or labels.shape != (len(graphs), config.labels):
        expected = (len(graphs), config.labels)
        raise BookError(f"labels are {labels.dtype} {labels.shape}; {expected} bool fits the graphs and the config")
    if epochs < 1:
        raise BookError(f"epochs={epochs}; train for at least 1")
    for name, rows in asdict(split).items():
        if len(rows) < 2 or rows.min() < 0 or rows.max() >= len(graphs):
            raise BookError(f"split.{name} has {len(rows)} rows; give at least 2, numbered 0 to {len(graphs) - 1}")
    both = np.intersect1d(split.train, split.held_out)
    if len(both):
        raise BookError(f"row {both[0]} is in both parts of the split; hold it out or learn from it")
    return torch.from_numpy(labels).float()


def label_weights(labels: np.ndarray, imbalance: str = "count over most") -> np.ndarray:
    """The weight of each label in the loss, log(1 + r), float64 [L]. labels: bool [n, L] of the training rows.

    With c the label's count and m the largest: r = c / m ("count over most": log 2 for the most frequent label and less
    for the rest) or r = m / c ("most over count", the imbalance ratio of Tarekegn et al. 2021: log 2 and more).
    Raises BookError for a label that no row carries.
    """
    counts = np.asarray(labels).sum(axis=0)
    if not counts.all():
        raise BookError(f"label {int(np.argmin(counts))} is on no training row; leave it out or split again")
    ratio = counts / counts.max()
    return np.log1p(ratio if imbalance == "count over most" else 1 / ratio)


def weighted_cross_entropy(output: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Mean over molecules of the sum over labels of weight times binary cross-entropy.

    output, targets [M, L]; weights [L]. The probability of a label: exp(x) / (exp(x) + exp(1 - x)) = sigmoid(2 x - 1).
    """
    losses = F.binary_cross_entropy_with_logits(2 * output - 1, targets, reduction="none")
    return (losses * weights).sum(dim=1).mean()


def weight_norms(model: OdorMap) -> Tensor:
    """The sum of 1-norms and 2-norms of all parameters but biases."""
    weights = [weight for name, weight in model.named_parameters() if "bias" not in name]
    return torch.stack([weight.abs().sum() + weight.norm() for weight in weights]).sum()


def batches(rows: Tensor, size: int, generator: torch.Generator) -> list[Tensor]:
    """The rows in a random order, in batches; a last one of a single row joins the one before, for the norms' sake."""
    parts = list(rows[torch.randperm(len(rows), generator=generator)].split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def predict(model: OdorMap, graphs: MoleculeGraphs) -> np.ndarray:
    """The probabilities of labels, float32 [N, L]."""
    return run(model, graphs)[0].mul(2).sub(1).sigmoid().numpy()


def embed(model: OdorMap, graphs: MoleculeGraphs) -> np.ndarray:
    """The map itself: the penultimate layer before normalisation and activation, float32 [N, 256]."""
    return run(model, graphs)[1].numpy()


def run(model: OdorMap, graphs: MoleculeGraphs) -> tuple[Tensor, Tensor]:
    """Outputs [N, L] and embeddings [N, 256] without dropout or gradients; leaves the model's mode as it was."""
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            parts = [model(graphs.select(rows)) for rows in torch.arange(len(graphs)).split(CHUNK)]
    finally:
        model.train(mode)
    return torch.cat([output for output, _ in parts]), torch.cat([embedding for _, embedding in parts])


def auroc(labels: np.ndarray, scores: np.ndarray) -> float:
    """The area under the ROC curve, averaged over labels that some rows carry and some do not.

    labels: bool [n, L]; scores [n, L]. Raises BookError when there is no such label.
    """
    from sklearn.metrics import roc_auc_score

    decided = labels.any(axis=0) & ~labels.all(axis=0)
    if not decided.any():
        raise BookError(f"none of {labels.shape[1]} labels is on some rows and off others; score more rows")
    return float(roc_auc_score(labels[:, decided], scores[:, decided], average="macro"))


def score_rows(model: OdorMap, graphs: MoleculeGraphs, labels: np.ndarray, rows: np.ndarray) -> float:
    """Macro AUROC of a model on some rows."""
    return auroc(labels[rows], predict(model, graphs.select(torch.from_numpy(rows))))


def save(trained: TrainedMap, path: Path | str, dtype: torch.dtype = torch.float32) -> Path:
    """Write a trained map as one safetensors file whose header holds a JSON record; whole under its name, or not there.

    dtype: how weights are stored; torch.float16 halves the file. Raises BookError when the disk refuses.
    """
    from safetensors.torch import save_file

    path = Path(path)
    record = {
        "config": asdict(trained.model.config),
        "recipe": asdict(trained.recipe),
        "split": {name: rows.tolist() for name, rows in asdict(trained.split).items()},
        "history": [asdict(epoch) for epoch in trained.history],
    }
    state = trained.model.state_dict()
    tensors = {name: value.to(dtype) if value.is_floating_point() else value for name, value in state.items()}
    partial = path.with_name(f".partial-{path.name}")
    try:
        save_file(tensors, partial, metadata={"odor_map": json.dumps(record)})
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        os.chmod(partial, 0o644)  # safetensors keeps its files from others
        os.replace(partial, path)
    except Exception as error:  # the tensor writer has error types of its own, and each must leave no litter
        partial.unlink(missing_ok=True)
        raise BookError(f"{path} could not be written ({error}); give a folder with space") from error
    return path


def load(path: Path | str) -> TrainedMap:
    """Read what `save` wrote; weights become float32. Raises BookError for a file that is no whole odor map."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            record = json.loads((file.metadata() or {})["odor_map"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        config = OdorMapConfig(**{**record["config"], "hidden": tuple(record["config"]["hidden"])})
        model = OdorMap(config)
        model.load_state_dict(state)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise BookError(f"{path} is no odor map that can be read ({reason}); train and save it again") from error
    split = Split(**{name: np.array(rows, dtype=np.int64) for name, rows in record["split"].items()})
    history = tuple(Epoch(**epoch) for epoch in record["history"])
    return TrainedMap(model.eval(), Recipe(**record["recipe"]), split, history)
