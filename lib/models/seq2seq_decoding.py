"""From a sequence model to tokens: greedy with a cache, beam search with length normalisation, greedy CTC.

A row stops at PAD, which is not part of what it wrote. A row that reaches the limit without it is cut there and said
not to have stopped; the stop rate of a model is counted from that.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lib.errors import BookError
from lib.models.seq2seq import BOS, PAD, Seq2Seq


@dataclass(frozen=True)
class Decoded:
    """What a decoder wrote for a batch."""

    tokens: list[list[int]]
    """Token ids per row, without BOS and without the stop."""
    stopped: list[bool]
    """Whether the row ended with a stop of its own rather than at the limit."""
    scores: list[float]
    """Log-probability of the row, the stop included if it came."""


def _check_limit(model: Seq2Seq, limit: int) -> None:
    if not 1 <= limit <= model.config.token_positions:
        raise BookError(f"limit is {limit}; it must lie in 1..{model.config.token_positions}, the token positions")


@torch.no_grad()
def greedy(model: Seq2Seq, frames: Tensor, lengths: Tensor | None, limit: int, signer: Tensor | None = None) -> Decoded:
    """The likeliest next token at each step, with cached keys and values.

    frames [B, T, F], lengths [B] or None; limit: most tokens, the stop included. Used by chapter 02.
    """
    _check_limit(model, limit)
    state = model.start(model.encode(frames, lengths, signer), lengths)
    token = torch.full((len(frames),), BOS, device=frames.device)
    going, scores, columns = torch.ones_like(token, dtype=torch.bool), torch.zeros(len(frames)), []
    for _ in range(limit):
        logits, state = model.step(token, state)
        best, token = logits.log_softmax(-1).max(-1)
        token = torch.where(going, token, PAD)
        scores += torch.where(going, best, 0.0).cpu()
        columns.append(token)
        going = going & (token != PAD)
        if not bool(going.any()):
            break
    rows = torch.stack(columns, 1).tolist()
    written = [row[: row.index(PAD)] if PAD in row else row for row in rows]
    return Decoded(written, (~going).tolist(), scores.tolist())


@torch.no_grad()
def greedy_uncached(
    model: Seq2Seq, frames: Tensor, lengths: Tensor | None, limit: int, signer: Tensor | None = None
) -> Decoded:
    """The same by running the whole model again for every token: slow, and what `greedy` is tested against."""
    _check_limit(model, limit)
    tokens = torch.full((len(frames), 1), BOS, device=frames.device)
    scores = torch.zeros(len(frames))
    for _ in range(limit):
        best, token = model(frames, lengths, tokens, signer)[:, -1].log_softmax(-1).max(-1)
        going = ~(tokens[:, 1:] == PAD).any(1)
        scores += torch.where(going, best, 0.0).cpu()
        tokens = torch.cat((tokens, torch.where(going, token, PAD)[:, None]), 1)
    rows = tokens[:, 1:].tolist()
    written = [row[: row.index(PAD)] if PAD in row else row for row in rows]
    return Decoded(written, [PAD in row for row in rows], scores.tolist())


@torch.no_grad()
def beam(
    model: Seq2Seq,
    frames: Tensor,
    lengths: Tensor | None,
    limit: int,
    beams: int = 4,
    length_power: float = 0.0,
    signer: Tensor | None = None,
) -> Decoded:
    """Beam search: the `beams` likeliest beginnings are kept; the winner has the highest log p / n^length_power.

    n counts the tokens, the stop included. One beam is greedy. A beginning that stops leaves the beam for the list of
    finished ones; a row is done when `beams` have finished or the limit is reached. A finished one always wins over
    one that was cut. Source: Wu et al. (2016), section 7, in its simple form. Used by chapter 02.
    """
    _check_limit(model, limit)
    if beams < 1:
        raise BookError(f"beams is {beams}; at least 1 is needed")
    memory = model.encode(frames, lengths, signer)
    rows = [
        _beam_row(model, memory[[row]], None if lengths is None else lengths[[row]], limit, beams, length_power)
        for row in range(len(frames))
    ]
    return Decoded(*(list(part) for part in zip(*rows, strict=True)))


def _beam_row(
    model: Seq2Seq, memory: Tensor, lengths: Tensor | None, limit: int, beams: int, power: float
) -> tuple[list[int], bool, float]:
    state = model.start(memory, lengths)
    written: list[list[int]] = [[]]
    scores = torch.zeros(1, device=memory.device)
    token = torch.full((1,), BOS, device=memory.device)
    finished: list[tuple[float, list[int], float]] = []
    for length in range(1, limit + 1):
        logits, state = model.step(token, state)
        total = scores[:, None] + logits.log_softmax(-1)
        best, place = total.flatten().topk(min(beams, total.numel()))
        parents, tokens = place // total.shape[1], place % total.shape[1]
        keep = []
        for order, (score, parent, choice) in enumerate(
            zip(best.tolist(), parents.tolist(), tokens.tolist(), strict=True)
        ):
            if choice == PAD:
                finished.append((score / length**power, written[parent], score))
            else:
                keep.append(order)
        if not keep or len(finished) >= beams:
            break
        written = [[*written[int(parents[order])], int(tokens[order])] for order in keep]
        rows = parents[keep]
        scores, token, state = best[keep], tokens[keep], state.select(rows)
    if finished:
        _, row, score = max(finished, key=lambda item: item[0])
        return row, True, score
    return written[0], False, float(scores[0])


def ctc_greedy(log_probabilities: Tensor, lengths: Tensor | None = None, blank: int = PAD) -> list[list[int]]:
    """Best path: the likeliest label of each frame, repeats merged, blanks removed; [B, T, V] -> token ids per row.

    Source: Graves et al. (2006), section 3.2. Used by chapter 02.
    """
    paths = log_probabilities.argmax(-1)
    out = []
    for row, path in enumerate(paths):
        path = path if lengths is None else path[: int(lengths[row])]
        out.append([label for label in torch.unique_consecutive(path).tolist() if label != blank])
    return out
