"""What a mixer costs per position as the sequence grows, counted and measured, and what a training plan adds up to.

Multiply-adds are counted as written on paper: causal attention reads half of the sequence on average; the gated delta
rule reads its state twice and writes it twice. Softmax, norms and gates are left out, and feed-forward networks, which
are the same for both. Chapter 07, cost.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from lib.errors import BookError
from lib.models.hybrid_config import HybridConfig


def attention_cost(config: HybridConfig, length: int) -> float:
    """Multiply-adds of one attention layer for one position, on average over a sequence of this length."""
    shared = config.kv_heads * config.head_size
    return 2 * config.width * (config.width + shared) + (length + 1) * config.width


def delta_cost(config: HybridConfig) -> float:
    """Multiply-adds of one gated delta layer of the simple kind for one position, at any length."""
    return 4 * config.width**2 + 2 * config.width * config.heads + 4 * config.width * config.head_size


def crossover(config: HybridConfig) -> int:
    """The least length from which a gated delta layer costs fewer multiply-adds per position than attention."""
    maps = attention_cost(config, -1)  # what attention costs at no length at all
    return max(1, int((delta_cost(config) - maps) // config.width))


def stack_cost(config: HybridConfig, length: int) -> float:
    """Multiply-adds of all mixers of a decoder for one position."""
    attending = sum(config.attends(layer) for layer in range(1, config.layers + 1))
    return attending * attention_cost(config, length) + (config.layers - attending) * delta_cost(config)


def memory(config: HybridConfig, length: int) -> tuple[int, int]:
    """Numbers that decoding keeps per layer after so many steps: of attention, and of the gated delta rule."""
    return 2 * config.kv_heads * config.head_size * length, config.heads * config.head_size**2


def cpu_seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """Median processor time of a call, after one that is not counted. Raises BookError for fewer than one repeat."""
    if repeats < 1:
        raise BookError(f"repeats={repeats}; a median needs at least one measurement")
    work()
    found = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return statistics.median(found)


def fallback_years(
    config: HybridConfig,
    *,
    steps: int,
    batch: int,
    micro_batch: int,
    length: int,
    observed: tuple[float, int, int, int, int],
) -> dict[str, float]:
    """Years that a plan would take where every recurrent layer loops over time, by two ways of scaling what was seen.

    observed: seconds a step of another model, its recurrent layers, sequence length, sequences a step, and numbers in a
    layer's state. "launches": the time goes with the number of loop turns, as when starting kernels is all that
    counts. "traffic": it goes with the numbers of state that are read and written. The truth should lie between.
    """
    seconds, layers_seen, length_seen, batch_seen, state_seen = observed
    recurrent = sum(not config.attends(layer) for layer in range(1, config.layers + 1))
    state = config.heads * config.head_size**2
    turns = recurrent * length * (batch // micro_batch) / (layers_seen * length_seen)
    traffic = recurrent * length * batch * state / (layers_seen * length_seen * batch_seen * state_seen)
    year = 365.25 * 86400
    return {"launches": seconds * turns * steps / year, "traffic": seconds * traffic * steps / year}


def plan_flops(config: HybridConfig, parameters: int, positions: float, length: int) -> float:
    """Operations of training: 6 per position for each parameter and each multiply-add with keys, values or states."""
    attending = sum(config.attends(layer) for layer in range(1, config.layers + 1))
    state = (config.layers - attending) * 4 * config.width * config.head_size
    return 6 * positions * (parameters + attending * (length + 1) * config.width + state)


def mixer_seconds(config: HybridConfig, kind: str, length: int, *, impl: str = "auto", repeats: int = 1) -> float:
    """Median processor time of one mixer, forward and backward, over a single sequence of this length.

    kind: "attention" or "recurrence", the config's own mixer. impl: of the recurrence.
    Raises BookError for another kind.
    """
    import torch

    from lib.models.attention import Attention, rotary_table
    from lib.models.gated_delta_net import MIXERS
    from lib.models.span import Span

    if kind not in ("attention", "recurrence"):
        raise BookError(f"kind={kind!r}; use 'attention' or 'recurrence'")
    generator = torch.Generator().manual_seed(0)
    mixer = Attention(config) if kind == "attention" else MIXERS[config.mixer](config)
    mixer.initialise(generator, 1.0)
    if kind == "recurrence":
        mixer.impl = impl
    x = torch.randn(length, config.width, generator=generator)
    table = rotary_table(0, length, config.head_size, config.rotary_theta, x.device)
    place = (Span(1, length), table) if kind == "attention" else (Span(1, length),)
    return cpu_seconds(lambda: mixer(x, *place, None)[0].sum().backward(), repeats)
