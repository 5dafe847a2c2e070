"""Sparse autoencoders in the format of SAELens: a folder with `cfg.json` and `sae_weights.safetensors`, both ways.

What is written opens with `sae_lens.SAE.load_from_disk`; what that library's `save_model` wrote as a TopK autoencoder
opens here. sae-lens itself is not needed for either. Chapter 05.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from lib.errors import BookError
from lib.models.sparse_autoencoder import TopKSAE

SINCE = "6.0.0"  # the version whose layout this is; without it sae-lens takes the file for an older one
CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
SHARED = {"encoder_bias": "b_enc", "decoder": "W_dec", "decoder_bias": "b_dec"}  # the encoder is transposed


def save_sae_lens(model: TopKSAE, folder: Path, *, model_name: str, hook_name: str) -> None:
    """Write the two files. model_name, hook_name: what the autoencoder was trained on, in TransformerLens's names."""
    from safetensors.torch import save_file

    features, width = model.decoder.shape
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {theirs: getattr(model, ours).detach().contiguous() for ours, theirs in SHARED.items()}
    save_file(tensors | {"W_enc": model.encoder.detach().T.contiguous()}, folder / WEIGHTS)
    config = {
        "architecture": "topk",
        "d_in": width,
        "d_sae": features,
        "k": model.k,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "rescale_acts_by_decoder_norm": False,
        "metadata": {"sae_lens_version": SINCE, "model_name": model_name, "hook_name": hook_name},
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=1), encoding="utf-8")


def load_sae_lens(folder: Path) -> TopKSAE:
    """The autoencoder of such a folder, in float32.

    Raises BookError for a missing file, another architecture, or a setting that `TopKSAE` does not have.
    """
    from safetensors.torch import load_file

    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise BookError(f"{folder} holds no {CONFIG} with {WEIGHTS}; give a folder that SAELens or this book wrote")
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    needed = {
        "architecture": "topk",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
    }
    other = [f"{name}={config.get(name)!r}" for name, value in needed.items() if config.get(name, value) != value]
    if other or config.get("rescale_acts_by_decoder_norm"):
        found = ", ".join(other) or "rescale_acts_by_decoder_norm=True"
        raise BookError(f"{folder / CONFIG} has {found}; fold that into the weights with sae-lens first")
    weights = load_file(folder / WEIGHTS)
    model = TopKSAE(config["d_in"], config["d_sae"], config["k"])
    with torch.no_grad():
        model.encoder.copy_(weights["W_enc"].T)
        for ours, theirs in SHARED.items():
            getattr(model, ours).copy_(weights[theirs])
    return model.eval()
