"""Weights go to SAELens and back; outputs and that library's own evaluation agree with ours."""

from __future__ import annotations

import json

import pytest
import torch

from lib.analysis.patched_loss import PatchedModel
from lib.errors import BookError
from lib.models import neox_ladder
from lib.models.neox_ladder import LadderConfig
from lib.models.sae_lens_format import load_sae_lens, save_sae_lens
from lib.models.sparse_autoencoder import TopKSAE
from lib.models.split_model import SplitModel


@pytest.fixture
def ours():
    model = TopKSAE(16, 40, 5, torch.Generator().manual_seed(0))
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=g))
    return model.eval()


pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sae-lens imports an old path of its own peer
HOOK = "blocks.1.hook_resid_post"


@torch.no_grad()
def test_their_outputs_are_ours(ours, tmp_path):
    from sae_lens import SAE

    save_sae_lens(ours, tmp_path, model_name="ladder", hook_name=HOOK)
    theirs = SAE.load_from_disk(tmp_path)
    x = torch.randn(50, 16, generator=torch.Generator().manual_seed(2))
    again, code = ours(x)
    torch.testing.assert_close(theirs(x), again, atol=1e-5, rtol=1e-5)
    dense = torch.zeros(50, 40).scatter(1, code.features, code.values)
    torch.testing.assert_close(theirs.encode(x), dense, atol=1e-5, rtol=1e-5)
    assert theirs.cfg.metadata.hook_name == HOOK
    assert theirs.cfg.k == 5


@torch.no_grad()
def test_what_they_save_opens_here(tmp_path):
    from sae_lens import TopKSAE as Theirs
    from sae_lens import TopKSAEConfig

    theirs = Theirs(TopKSAEConfig(d_in=12, d_sae=30, k=4))
    g = torch.Generator().manual_seed(3)
    for weight in theirs.parameters():
        weight.copy_(0.3 * torch.randn(weight.shape, generator=g))
    theirs.save_model(tmp_path)
    x = torch.randn(20, 12, generator=g)
    torch.testing.assert_close(load_sae_lens(tmp_path)(x)[0], theirs(x), atol=1e-5, rtol=1e-5)


def test_there_and_back_is_exact(ours, tmp_path):
    save_sae_lens(ours, tmp_path, model_name="m", hook_name=HOOK)
    again = load_sae_lens(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), ours.parameters(), strict=True))
    assert again.k == ours.k


@torch.no_grad()
def test_their_evaluation_gives_our_numbers(ours, tmp_path):
    from sae_lens import SAE
    from sae_lens.evals import get_recons_loss
    from sae_lens.training.activation_scaler import ActivationScaler

    model = neox_ladder.build(LadderConfig(width=16, vocabulary=60, context=12), seed=0)
    g = torch.Generator().manual_seed(4)
    for weight in model.parameters():
        weight.add_(0.3 * torch.randn(weight.shape, generator=g))
    sequences = torch.randint(60, (6, 12), generator=g)
    save_sae_lens(ours, tmp_path, model_name="ladder", hook_name=HOOK)
    theirs = get_recons_loss(
        SAE.load_from_disk(tmp_path), neox_ladder.hooked(model), ActivationScaler(), sequences, False, True
    )
    found = PatchedModel(SplitModel(model, 1), sequences).score(ours, features=40)
    told = {name: float(value.mean()) for name, value in theirs.items()}
    assert found.clean == pytest.approx(told["ce_loss_without_sae"], abs=1e-4)
    assert found.loss == pytest.approx(told["ce_loss_with_sae"], abs=1e-4)
    assert found.ablated == pytest.approx(told["ce_loss_with_ablation"], abs=1e-4)
    score = (told["ce_loss_with_ablation"] - told["ce_loss_with_sae"]) / (
        told["ce_loss_with_ablation"] - told["ce_loss_without_sae"]
    )
    assert found.recovered == pytest.approx(score, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"architecture": "standard"}, "architecture='standard'"),
        ({"normalize_activations": "layer_norm"}, "normalize_activations"),
        ({"rescale_acts_by_decoder_norm": True}, "rescale_acts_by_decoder_norm"),
    ],
)
def test_settings_that_we_do_not_have_are_refused(ours, tmp_path, change, told):
    save_sae_lens(ours, tmp_path, model_name="m", hook_name=HOOK)
    config = json.loads((tmp_path / "cfg.json").read_text(encoding="utf-8"))
    (tmp_path / "cfg.json").write_text(json.dumps(config | change), encoding="utf-8")
    with pytest.raises(BookError, match=told):
        load_sae_lens(tmp_path)


def test_a_folder_without_the_files_is_refused(tmp_path):
    with pytest.raises(BookError, match=r"cfg\.json"):
        load_sae_lens(tmp_path)
