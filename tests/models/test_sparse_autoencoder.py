"""TopK autoencoders: counts, what forward means, and a mixture of known directions that training must find."""

from __future__ import annotations

import pytest
import torch

from lib.errors import BookError
from lib.models.sparse_autoencoder import TopKSAE
from lib.trainers.sparse_autoencoder import SAETraining, train_sae


@pytest.mark.parametrize(("width", "millions"), [(512, 16.79), (768, 37.77), (1024, 67.14)])
def test_sizes_of_the_post(width, millions):
    with torch.device("meta"):
        model = TopKSAE(width, 32 * width, 8)
    assert sum(weight.numel() for weight in model.parameters()) == pytest.approx(millions * 1e6, abs=5e3)


def test_forward_by_hand():
    model = TopKSAE(4, 9, 3, torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.decoder_bias.normal_(generator=torch.Generator().manual_seed(2))
        model.encoder_bias.normal_(generator=torch.Generator().manual_seed(3))
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(4))
    again, code = model(x)
    active = torch.relu((x - model.decoder_bias) @ model.encoder.T + model.encoder_bias)
    kept = active * (active >= active.topk(3, dim=1).values[:, -1:])
    torch.testing.assert_close(again, kept @ model.decoder + model.decoder_bias)
    assert code.values.shape == code.features.shape == (6, 3)
    torch.testing.assert_close(model.decoder.norm(dim=1), torch.ones(9))


def test_training_finds_directions_that_are_there():
    g = torch.Generator().manual_seed(0)
    truth = torch.nn.functional.normalize(torch.randn(12, 8, generator=g), dim=1)
    active = torch.rand(4000, 12, generator=g).topk(2, dim=1).indices
    strength = 0.5 + torch.rand(4000, 2, generator=g)
    x = (truth[active] * strength[..., None]).sum(dim=1) + 3.0
    model = TopKSAE(8, 24, 2, torch.Generator().manual_seed(1))
    trained = train_sae(model, x, SAETraining(steps=1500, batch=256, rate=3e-3), generator=g)
    alike = (truth @ model.decoder.detach().T).max(dim=1).values
    assert alike.mean() > 0.9
    assert trained.losses[-50:].mean() < 0.2 * trained.losses[:10].mean()
    assert 0 < trained.alive <= 1
    torch.testing.assert_close(model.decoder.detach().norm(dim=1), torch.ones(24))


def test_the_same_seed_gives_the_same_bits():
    x = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    runs = [
        train_sae(TopKSAE(5, 10, 2), x, SAETraining(20, 64), generator=torch.Generator().manual_seed(7))
        for _ in range(2)
    ]
    assert torch.equal(runs[0].model.decoder, runs[1].model.decoder)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: TopKSAE(4, 8, 9), "k=9"),
        (lambda: SAETraining(steps=0), "steps=0"),
        (
            lambda: train_sae(TopKSAE(4, 8, 2), torch.ones(3, 5), SAETraining(), generator=torch.Generator()),
            "for a width of 4",
        ),
    ],
)
def test_bad_input_is_named(call, told):
    with pytest.raises(BookError, match=told):
        call()
