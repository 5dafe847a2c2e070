"""G9: one training step of a TopK autoencoder: ours, the dense step, and sae-lens's own trainer.

Batch 2048, width 512, 32 times as many features, k = 8 and 64. All three start from the same weights and see the same
activations; the gradients of ours and of the dense step are compared before anything is timed. The dense step is the
textbook form with plain Adam, as most published code has it; ours has the same Adam, fused. sae-lens trains its own
TopK class with its own optimiser step, without its auxiliary loss, since ours has none in this row.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from lib.kernels.topk.naive import naive_topk_decode, naive_topk_encode
from lib.models.sparse_autoencoder import TopKSAE
from tests.bench.measure import Row, interleaved, limits, must_agree

BATCH, WIDTH, TIMES, REPEATS = 2048, 512, 32, 3


def dense_forward(model: TopKSAE, x: Tensor) -> Tensor:
    """The textbook form: all features in a row, all of the decoder in a product."""
    values, indices = naive_topk_encode(x, model.encoder, model.encoder_bias, model.decoder_bias, model.k)
    return naive_topk_decode(values, indices, model.decoder) + model.decoder_bias


def step(model: TopKSAE, x: Tensor, forward: Callable[[TopKSAE, Tensor], Tensor], fused: bool) -> Callable[[], None]:
    """A call that makes one update."""
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-4, fused=fused, foreach=False)

    def run() -> None:
        loss = (forward(model, x) - x).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.normalise()

    return run


def sae_lens_step(start: TopKSAE, x: Tensor) -> Callable[[], None]:
    """One update by sae-lens's TopK training class, from the same weights."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sae_lens.saes.sae import TrainStepInput
        from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    theirs = TopKTrainingSAE(
        TopKTrainingSAEConfig(d_in=WIDTH, d_sae=TIMES * WIDTH, k=start.k, aux_loss_coefficient=0.0)
    )
    with torch.no_grad():
        theirs.W_enc.copy_(start.encoder.T)
        theirs.W_dec.copy_(start.decoder)
    optimiser = torch.optim.Adam(theirs.parameters(), lr=1e-4)

    def run() -> None:
        made = theirs.training_forward_pass(
            TrainStepInput(sae_in=x, coefficients={}, dead_neuron_mask=None, n_training_steps=0, is_logging_step=False)
        )
        optimiser.zero_grad()
        made.loss.backward()
        optimiser.step()

    return run


def rows() -> Iterator[Row]:
    x = torch.randn(BATCH, WIDTH, generator=torch.Generator().manual_seed(0))
    for k, bar in ((8, 5.0), (64, 4.0)):
        made = [TopKSAE(WIDTH, TIMES * WIDTH, k, torch.Generator().manual_seed(1)) for _ in range(2)]
        for model, forward in zip(made, (lambda m, a: m(a)[0], dense_forward), strict=True):
            (forward(model, x) - x).square().mean().backward()
        for name in ("encoder", "decoder", "encoder_bias", "decoder_bias"):
            must_agree(getattr(made[0], name).grad, getattr(made[1], name).grad, 1e-4, f"G9 k={k} gradient of {name}")
        seconds = interleaved(
            {
                "ours": step(made[0], x, lambda m, a: m(a)[0], fused=True),
                "dense": step(made[1], x, dense_forward, fused=False),
                "sae_lens": sae_lens_step(made[0], x),
            },
            repeats=REPEATS,
        )
        product = 2 * BATCH * WIDTH * TIMES * WIDTH
        share = product / limits().matmul / seconds["ours"]
        yield Row("G9", f"dense step over ours, k={k}", seconds["dense"] / seconds["ours"], bar=bar, share=share)
        yield Row("G9", f"sae-lens's trainer over ours, k={k}", seconds["sae_lens"] / seconds["ours"], bar=2.0)
