"""Checkpoints that survive: a file is whole under its final name, or it is not there.

A checkpoint is two files: the tensors (safetensors), whose name holds part of their digest, and a JSON record that
names them with their full sha256. Both are written under a temporary name, fsynced and renamed, the record last: it is
what makes the checkpoint exist. A kill at any moment leaves temporary files or tensors without a record; the next save
removes both. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from lib.errors import BookError

FORMAT = 1
RECORD = re.compile(r"step-(\d{8})\.json")
TENSOR_KEY = "$tensor"
log = logging.getLogger(__name__)


class CorruptCheckpoint(Exception):
    """A checkpoint whose bytes are not what was written; the message names the file."""


class CheckpointStore:
    """The checkpoints of one run, in one folder.

    folder: made when missing. keep: how many of the newest stay. write_tensors: writes tensors by name to a path.
    Source: none beyond POSIX; rename is atomic, fsync of file and folder makes it last. Used by chapters 07 to 10.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        keep: int = 3,
        write_tensors: Callable[[dict[str, Tensor], Path], None] | None = None,
    ) -> None:
        if keep < 1:
            raise BookError(f"keep={keep}; a run needs at least its newest checkpoint")
        self.folder = Path(folder)
        self.keep = keep
        self.write_tensors = write_tensors or save_safetensors

    def save(self, step: int, tree: Mapping[str, object]) -> Path:
        """Write a checkpoint and return the path of its record; then drop what is older than the newest `keep`.

        tree: nested dicts and lists of tensors, numbers, strings, booleans and None, with string keys. Records of later
        steps are dropped too: a run that is at this step again has found them corrupt.
        Raises BookError when the disk refuses (the last good checkpoint stays), or for a value that JSON cannot hold.
        """
        tensors: dict[str, Tensor] = {}
        body = {"format": FORMAT, "step": step, "tree": pack(tree, "tree", tensors)}
        name = f"step-{step:08d}"
        partial_tensors, partial_record = (self.folder / f".partial-{name}{kind}" for kind in (".safetensors", ".json"))
        unfinished = [partial_tensors, partial_record]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.write_tensors(tensors, partial_tensors)
            fsync(partial_tensors)
            digest = sha256_of(partial_tensors)
            body["tensors"] = {"file": f"{name}-{digest[:12]}.safetensors", "sha256": digest}
            whole_tensors = self.folder / body["tensors"]["file"]
            if not whole_tensors.exists():  # else an earlier save of this step may name it
                unfinished.append(whole_tensors)
            os.replace(partial_tensors, whole_tensors)
            partial_record.write_text(json.dumps({"sha256": digest_of(body), "body": body}, indent=1), encoding="utf-8")
            fsync(partial_record)
            os.replace(partial_record, self.folder / f"{name}.json")
            unfinished.clear()
            fsync(self.folder)
        except Exception as error:  # the tensor writer has error types of its own, and each must leave no litter
            for path in unfinished:
                path.unlink(missing_ok=True)
            last = max((s for s in self.steps() if s != step), default=None)
            safe = "there is no earlier one" if last is None else f"step {last} is the last good one"
            where = f"step {step} could not be saved in {self.folder}"
            raise BookError(f"{where} ({error}); {safe}; free space there") from error
        self.rotate(step, body["tensors"]["file"])
        return self.folder / f"{name}.json"

    def load(self) -> tuple[int, dict] | None:
        """The newest checkpoint that is whole, as (step, tree); None when there is none.

        Each corrupt one that is passed over is logged as a warning that names the file.
        Raises BookError when there are checkpoints and all are corrupt.
        """
        steps = sorted(self.steps(), reverse=True)
        for step in steps:
            try:
                return step, self.read(step)
            except CorruptCheckpoint as error:
                log.warning("%s; falling back to the checkpoint before it", error)
        if steps:
            raise BookError(f"every checkpoint in {self.folder} is corrupt; remove the folder to start anew")
        return None

    def read(self, step: int) -> dict:
        """The tree of one step. Raises CorruptCheckpoint when a file is missing or its bytes have changed."""
        path = self.folder / f"step-{step:08d}.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            body = record["body"]
            whole = record["sha256"] == digest_of(body)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CorruptCheckpoint(f"{path} cannot be read ({error})") from error
        if not whole or body["step"] != step:
            raise CorruptCheckpoint(f"{path} is not what was written")
        if body["format"] != FORMAT:
            raise BookError(f"{path} has format {body['format']}, not {FORMAT}; use the commit that wrote it")
        tensors = self.folder / body["tensors"]["file"]
        if not tensors.is_file():
            raise CorruptCheckpoint(f"{tensors} is missing")
        if sha256_of(tensors) != body["tensors"]["sha256"]:
            raise CorruptCheckpoint(f"{tensors} does not have the sha256 that its record names")
        from safetensors.torch import load_file

        return unpack(body["tree"], load_file(tensors))

    def steps(self) -> list[int]:
        """The steps that have a record, in order."""
        names = os.listdir(self.folder) if self.folder.is_dir() else []
        return sorted(int(match[1]) for match in map(RECORD.fullmatch, names) if match)

    def rotate(self, step: int, file: str) -> None:
        """Drop records after `step` and before the newest `keep`, then every file of ours that no record names.

        file: the tensors that the record of `step` names.
        """
        steps = self.steps()
        kept = [s for s in steps if s <= step][-self.keep :]
        for dropped in set(steps) - set(kept):
            (self.folder / f"step-{dropped:08d}.json").unlink()
        stems = {f"step-{s:08d}" for s in kept}
        for path in self.folder.glob("step-*.safetensors"):
            superseded = path.name.startswith(f"step-{step:08d}") and path.name != file
            if superseded or path.name[: len("step-00000000")] not in stems:
                path.unlink()
        for path in self.folder.glob(".partial-*"):
            path.unlink()


def save_safetensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors by name; safetensors refuses memory that two names share, so each gets its own."""
    from safetensors.torch import save_file

    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, path)


def pack(value: object, place: str, tensors: dict[str, Tensor]) -> object:
    """The JSON part of a tree; its tensors go to `tensors` under their place, which stands in for them."""
    if isinstance(value, Tensor):
        tensors[place] = value
        return {TENSOR_KEY: place}
    if isinstance(value, Mapping):
        strange = [key for key in value if not isinstance(key, str) or key == TENSOR_KEY]
        if strange:
            raise BookError(f"{place} has the key {strange[0]!r}; a checkpoint has string keys, and not {TENSOR_KEY!r}")
        return {key: pack(part, f"{place}/{key}", tensors) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [pack(part, f"{place}/{i}", tensors) for i, part in enumerate(value)]
    if isinstance(value, np.ndarray | np.generic) or not isinstance(value, str | int | float | bool | None):
        kinds = "tensors, numbers, strings, booleans and None"
        raise BookError(f"{place} is a {type(value).__name__}; a checkpoint holds {kinds} in dicts and lists")
    return value


def unpack(value: object, tensors: Mapping[str, Tensor]) -> object:
    """The tree that `pack` took apart; each tensor is its own copy, so that no file stays mapped."""
    if isinstance(value, dict):
        if set(value) == {TENSOR_KEY}:
            return tensors[value[TENSOR_KEY]].clone()
        return {key: unpack(part, tensors) for key, part in value.items()}
    if isinstance(value, list):
        return [unpack(part, tensors) for part in value]
    return value


def digest_of(body: object) -> str:
    """sha256 of a JSON value in canonical form."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Make a file, or the names in a folder, last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
