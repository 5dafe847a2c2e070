"""The sequence models that chapter 02 compares, each a name: what differs from the post's form, and nothing else.

All arms share sizes, decoder, optimiser, shape of the schedule and, by seed, the phrases; `learn` and `load` give the
same thing, so that a chapter measures prepared weights and freshly trained ones by the same lines.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from lib.errors import BookError
from lib.models.layers import Linear
from lib.models.seq2seq import Seq2Seq, Seq2SeqConfig, matched_gru
from lib.models.seq2seq_decoding import Decoded, beam, ctc_greedy, greedy
from lib.trainers.seq2seq import Examples, Schedule, Trained, padded, pretrain, train
from lib.trainers.sequence_loss import Rule

SMALL = Seq2SeqConfig(
    inputs=70, vocabulary=29, width=64, hidden=128, heads=4, head_width=16, frame_positions=320, token_positions=32,
    embedding_bound=1.0, dropout=0.0,
)  # fmt: skip


@dataclass(frozen=True)
class Arm:
    """What an arm changes."""

    encoder: Literal["attention", "gru"] = "attention"
    """What reads the frames."""
    positions: Literal["learned", "sinusoidal"] = "learned"
    """How frames are numbered."""
    lessons: str = "phrases"
    """Which examples it learns from."""
    rule: Rule = "first_pad"
    """Which pads are targets."""
    ctc: float = 0.0
    """Weight of the CTC loss."""
    pretrained: bool = False
    """Whether the encoder first learns to fill gaps."""
    dropout: float = 0.0
    """Share of each sublayer's output that is dropped in training."""
    updates: int = 2000
    """Updates, chosen on a development run with seed 0 and fixed before anything was measured."""


BRIEF = 600  # enough to learn when to stop, long before reading is learned well

ARMS: Mapping[str, Arm] = {
    "attention": Arm(),
    "sinusoidal": Arm(positions="sinusoidal"),
    "gru": Arm(encoder="gru", updates=1200),
    "with_letters": Arm(lessons="with_letters"),
    "first_pad": Arm(updates=BRIEF),
    "no_pads": Arm(rule="no_pads", updates=BRIEF),
    "all_pads": Arm(rule="all_pads", updates=BRIEF),
    "joint": Arm(ctc=0.3),
    "ctc": Arm(ctc=1.0, updates=1200),
    "dropout": Arm(dropout=0.1),  # the rate of Vaswani et al. (2017), table 3, base model
    "american": Arm(lessons="american", updates=800),
    "pretrained": Arm(lessons="american", pretrained=True, updates=800),
}


def get(name: str) -> Arm:
    """The arm of a name. Raises BookError for an unknown one."""
    if name not in ARMS:
        raise BookError(f"there is no arm {name!r}; choose from {', '.join(ARMS)}")
    return ARMS[name]


def config(name: str) -> Seq2SeqConfig:
    """The sizes of an arm; a recurrent one is matched in parameters."""
    arm = get(name)
    sizes = replace(SMALL, positions=arm.positions, dropout=arm.dropout)
    return matched_gru(sizes) if arm.encoder == "gru" else sizes


def learn(
    name: str,
    lessons: Mapping[str, Examples],
    seed: int,
    most: int,
    unlabelled: Sequence[np.ndarray] = (),
    times: int = 1,
    **watching: object,
) -> Trained:
    """Train an arm from scratch, for `times` its own number of updates but `most` at most.

    lessons: examples by name; unlabelled: clips float32 [T, 70] for pretraining, which takes as many updates again.
    watching: `signer`, `watch` and `every` of `train`.
    """
    arm = get(name)
    model = Seq2Seq(config(name), torch.Generator().manual_seed(seed))
    schedule = Schedule(steps=min(most, times * arm.updates), peak=PEAK, rule=arm.rule, ctc=arm.ctc)
    if arm.pretrained:
        pretrain(model, unlabelled, replace(schedule, ctc=0.0), seed + 500)
    return train(model, lessons[arm.lessons], schedule, seed, **watching)


PEAK = 3e-3  # chosen on a development run, seed 0, for learning at all within 600 updates


def read(
    trained: Trained,
    clips: Sequence[np.ndarray],
    limit: int = 24,
    batch: int = 64,
    calibration: np.ndarray | None = None,
    **search: object,
) -> Decoded:
    """Decode clips in their order, greedily, or by beam search when `beams` and `length_power` are given.

    calibration: float32 [N, C, F], one clip of each signer, for a model that was trained with a signer network.
    """
    order = np.argsort([len(clip) for clip in clips], kind="stable")
    found: dict[int, tuple] = {}
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        frames, lengths = padded([clips[row] for row in rows])
        method = beam if search else greedy
        who = None if calibration is None else trained.signer(torch.from_numpy(calibration[rows])).detach()
        part = method(trained.model, frames, lengths, limit, signer=who, **search)
        found |= dict(zip(rows.tolist(), zip(part.tokens, part.stopped, part.scores, strict=True), strict=True))
    return Decoded(*(list(column) for column in zip(*(found[row] for row in range(len(clips))), strict=True)))


@torch.no_grad()
def read_ctc(trained: Trained, clips: Sequence[np.ndarray], batch: int = 64) -> list[list[int]]:
    """Decode clips by the CTC head alone, best path. Raises BookError for a model without one."""
    if trained.ctc_head is None:
        raise BookError("this model has no CTC head; train it with a CTC weight above 0")
    found = []
    for start in range(0, len(clips), batch):
        frames, lengths = padded(list(clips[start : start + batch]))
        found += ctc_greedy(trained.ctc_head(trained.model.encode(frames, lengths)).log_softmax(-1), lengths)
    return found


def save(trained: Mapping[str, Trained], path: Path) -> None:
    """Several arms as one safetensors file in half precision. No losses are kept."""
    from safetensors.torch import save_file

    tensors = {}
    for name, one in trained.items():
        parts = nn.ModuleDict({"model": one.model} | ({"head": one.ctc_head} if one.ctc_head is not None else {}))
        tensors |= {f"{name}|{key}": value.half().contiguous() for key, value in parts.state_dict().items()}
    save_file(tensors, path, metadata={"arms": json.dumps(sorted(trained))})


def load(path: Path) -> dict[str, Trained]:
    """What `save` wrote, in float32, ready to read. Raises BookError for a file that holds no arms."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names = json.loads((file.metadata() or {})["arms"])
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (not a mapping)
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise BookError(f"{path} holds no arms ({error}); make it again with make prepare N=02") from error
    out = {}
    for name in names:
        model, head = empty(name)
        modules = nn.ModuleDict({"model": model} | ({"head": head} if head is not None else {}))
        modules.load_state_dict({k.split("|")[1]: v for k, v in tensors.items() if k.split("|")[0] == name})
        modules.eval()
        out[name] = Trained(model, (), head)
    return out


def empty(name: str) -> tuple[Seq2Seq, nn.Module | None]:
    """The model of an arm and its CTC head, if it has one, whose weights wait to be loaded."""
    head = Linear(SMALL.width, SMALL.vocabulary) if get(name).ctc else None
    return Seq2Seq(config(name)), head
