"""Activations on disk: captured once, kept in half precision, named by a digest of what they were made from.

A value is stored over a power of two that brings the largest below 2^14, because half precision ends at 65,504 and
real models have activations near it. Chapters 05 and 06.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lib.models.split_model import streams

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def captured(
    model: PreTrainedModel, layers: Sequence[int], sequences: Tensor, folder: Path | None = None, batch: int = 16
) -> dict[int, Tensor]:
    """The residual stream [N, T, D] after each layer, rounded to half precision; read from the folder when it is there.

    folder: where captures are kept, None to keep none; the values are the same either way. A layer whose values all fit
    comes as float16, any other as float32.
    """
    path = folder and folder / f"stream-{digest(model, layers, sequences)}.safetensors"
    if path and path.is_file():
        return _read(path)
    found = {layer: one.float() for layer, one in streams(model, layers, sequences, batch).items()}
    if path:
        folder.mkdir(parents=True, exist_ok=True)
        _write(found, path)
        return _read(path)
    return {layer: _unpack(*_pack(one)) for layer, one in found.items()}


def digest(model: PreTrainedModel, layers: Sequence[int], sequences: Tensor) -> str:
    """What a capture depends on: weights, shape of the model, layers and tokens, as 16 hexadecimal digits."""
    found = hashlib.sha256(repr((model.config.to_json_string(use_diff=False), tuple(layers))).encode())
    found.update(sequences.contiguous().numpy().tobytes())
    for weight in model.parameters():
        found.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def _pack(x: Tensor) -> tuple[Tensor, int]:
    largest = float(x.abs().max())
    power = 0 if largest == 0 else max(0, int(torch.tensor(largest).log2().ceil()) - 14)
    return (x / 2**power).half(), power


def _unpack(x: Tensor, power: int) -> Tensor:
    return x if power == 0 else x.float() * 2**power


def _write(found: dict[int, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    packed = {layer: _pack(one) for layer, one in found.items()}
    powers = json.dumps({str(layer): power for layer, (_, power) in packed.items()})
    partial = path.with_suffix(".partial")
    save_file({str(layer): one for layer, (one, _) in packed.items()}, partial, metadata={"powers": powers})
    os.replace(partial, path)


def _read(path: Path) -> dict[int, Tensor]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        powers = json.loads(file.metadata()["powers"])
        return {int(name): _unpack(file.get_tensor(name), powers[name]) for name in file.keys()}  # noqa: SIM118 (no mapping)
