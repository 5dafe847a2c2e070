"""G6: a training step of the speech model, its memory, and decoding with a state, against the post's own fallback.

The fallback is the same model with the recurrence as a plain loop. It computes the whole context of 1,024 steps, of
which an item fills 607 (600 frames of 8 codebooks), and its decoder reads the whole prefix again for every step. The
bar of 1.3 s was set on a machine whose one thread multiplies matrices at 94 GFLOP/s; it is scaled to the rate measured
here between the steps. `python -m tests.bench.g6_hybrid` prints the peak memory of two training steps, in bytes.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from lib.models import HybridConfig, HybridDecoder
from lib.trainers.batching import collate
from lib.trainers.codebook_loss import loss_sums
from lib.trainers.optimiser import adamw
from tests.bench.measure import Row, interleaved, must_agree, peak_memory

FRAMES, CONTEXT, PAD = 600, 1024, 1024
DECODED = 457
PREFIXES = tuple(range(1, DECODED + 1, 57))
REFERENCE = 94e9
SECONDS = 1.3
FALLBACK_SECONDS = (5.6, 5.9)


def speech(impl: str) -> HybridDecoder:
    """The speech model with one implementation of the recurrence; dropout is off, so that outputs can be compared."""
    config = replace(HybridConfig.speech_22m(), impl=impl, dropout=0.0)
    return HybridDecoder(config, torch.Generator().manual_seed(0))


def item() -> tuple[Tensor, Tensor]:
    """Inputs and targets [1, 8, 606] of one item: 607 steps, each predicting the next."""
    codes = torch.randint(0, 1024, (8, FRAMES), generator=torch.Generator().manual_seed(1))
    batch = collate([codes], pad=PAD)
    return batch.inputs, batch.targets


def gradients(model: HybridDecoder, inputs: Tensor, targets: Tensor) -> Tensor:
    """Forward and backward; returns the loss."""
    model.zero_grad(set_to_none=True)
    sums = loss_sums(model(inputs), targets, PAD)
    loss = sums.smoothed(0.1).sum() / sums.count.sum()
    loss.backward()
    return loss.detach()


def training_step(model: HybridDecoder, inputs: Tensor, targets: Tensor, optimiser: torch.optim.AdamW) -> None:
    """Forward, backward, clipping and the update."""
    gradients(model, inputs, targets)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()


def optimiser_of(model: HybridDecoder) -> torch.optim.AdamW:
    """The post's AdamW, at rate 0: the weights stay, so that every measured step is the same."""
    return adamw(model, betas=(0.9, 0.95), weight_decay=0.01, decay="all")


def padded(tokens: Tensor) -> Tensor:
    """Tokens [1, 8, T] filled up to the context, as the post's trainer does."""
    return nn.functional.pad(tokens, (0, CONTEXT - tokens.shape[2]), value=PAD)


def step_rows() -> Iterator[Row]:
    """Seconds of a step, and the fallback's forward and backward over them."""
    ours, fallback = speech("auto"), speech("naive")
    short = item()
    long = tuple(map(padded, short))
    must_agree(gradients(ours, *short), gradients(fallback, *long), 1e-6, "loss with and without padding")
    for (name, weight), other in zip(ours.named_parameters(), fallback.parameters(), strict=True):
        must_agree(weight.grad, other.grad, 1e-3, f"gradient of {name}")
    optimiser = optimiser_of(ours)
    square = torch.randn(1024, 1024)
    seconds = interleaved(
        {
            "matmul": lambda: square @ square,
            "step": lambda: training_step(ours, *short, optimiser),
            "fallback": lambda: gradients(fallback, *long),
        }
    )
    rate = 2 * 1024**3 / seconds["matmul"]
    counts = ours.component_counts()
    flops = 6 * (counts["backbone"] + counts["heads"]) * short[0].shape[2]
    share, bar = flops / rate / seconds["step"], SECONDS * REFERENCE / rate
    what = f"training step, 607 of 1,024 steps real; {SECONDS} s at 94 GFLOP/s"
    yield Row("G6", what, seconds["step"], "s", bar, at_least=False, share=share)
    least = sum(FALLBACK_SECONDS) / 2 / SECONDS
    what = "training step over the fallback's forward and backward"
    yield Row("G6", what, seconds["fallback"] / seconds["step"], bar=round(least, 1))


@torch.no_grad()
def decode(model: HybridDecoder, tokens: Tensor) -> Tensor:
    """Logits [1, 8, T, V] of tokens [1, 8, T], one step at a time."""
    logits, state = model.prefill(tokens[:, :, :1])
    parts = [logits]
    for t in range(1, tokens.shape[2]):
        logits, state = model.step(tokens[:, :, t], state)
        parts.append(logits[:, :, None])
    return torch.cat(parts, dim=2)


def decode_rows() -> Iterator[Row]:
    """Decoding 457 steps with a state against reading the prefix again: nine lengths, and trapezoids between them."""
    ours, fallback = speech("auto").eval(), speech("naive").eval()
    tokens = torch.randint(0, 1024, (1, 8, DECODED), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        full = fallback(tokens)
        error = ((decode(ours, tokens) - full).norm() / full.norm()).item()
        readings = {n: (lambda n=n: fallback(tokens[:, :, :n])) for n in PREFIXES}
        seconds = interleaved({"state": lambda: decode(ours, tokens), **readings})
    again = torch.trapezoid(torch.tensor([seconds[n] for n in PREFIXES]), torch.tensor(PREFIXES)).item()
    yield Row("G6", f"decoding {DECODED} steps with a state over reading the prefix", again / seconds["state"], bar=30)
    yield Row("G6", "step by step against the full pass, relative", error, "", 1e-5, at_least=False)


def padding_row() -> Row:
    """Rows that the linear maps of the model compute for a ragged batch, over its real positions."""
    model = speech("auto").eval()
    lengths, computed = [600, 90, 333], {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(
                lambda module, x, name=name: computed.update({name: x[0].numel() // module.in_features})
            )
    with torch.no_grad():
        model(torch.zeros(3, 8, CONTEXT, dtype=torch.long), lengths)
    worst = max(computed.values()) / sum(lengths)
    return Row("G6", "positions computed over real ones, lengths 600, 90, 333", worst, bar=1.0, at_least=False)


def rows() -> Iterator[Row]:
    yield from step_rows()
    used = peak_memory("tests.bench.g6_hybrid") / 1e9
    yield Row("G6", "peak memory of a process that trains", used, "GB", 1.2, at_least=False)
    yield from decode_rows()
    yield padding_row()


def peak_bytes() -> int:
    """Peak resident memory of this program. On Linux from /proc: getrusage also counts the parent before the exec."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def main() -> None:
    """Two training steps: the second has the optimiser's moments beside it."""
    torch.set_num_threads(1)
    model = speech("auto")
    optimiser = optimiser_of(model)
    for _ in range(2):
        training_step(model, *item(), optimiser)
    print(peak_bytes())


if __name__ == "__main__":
    main()
