"""A detector of speech that others trained: Silero's network, run here by a few lines of PyTorch.

The package brings weights in several forms. Its TorchScript and ONNX files would need a loader that is on its way out,
or a runtime that is not in the lock; the safetensors file needs neither. Its weights are of another training of the
same network: on a clip of speech the two differ by 0.13 where the voice sets in, and by little elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lib.errors import BookError
from lib.models.log_mel import MelConfig
from lib.models.resampling import resampled

HEARD, HOP, CONTEXT = 16_000, 512, 64
"""Samples a second, samples of a frame (32 ms), and samples of the frame before that it sees again."""
STRIDES = {"conv1": 1, "conv2": 2, "conv3": 2, "conv4": 1}


def speech_probability(wave: np.ndarray, rate: int = MelConfig.rate) -> float:
    """Mean over frames of 32 ms of the probability that they are speech, of samples [n]. Used by chapters 09, 10."""
    return float(speech_probabilities(wave, rate).mean())


def speech_probabilities(
    wave: np.ndarray, rate: int = MelConfig.rate, weights: Mapping[str, Tensor] | None = None
) -> np.ndarray:
    """The probability of speech in each frame [ceil(n / 512)], of samples [n] taken to 16 kHz.

    weights: of the network; by default those that come with the package silero-vad. Raises BookError for anything but
    one channel of at least one sample, or without the package. Source: Silero Team, Silero VAD (2024), version 6.2.3.
    """
    samples = torch.as_tensor(resampled(wave, rate, HEARD))
    samples = F.pad(samples, (CONTEXT, -len(samples) % HOP))
    with torch.no_grad():
        return _network(samples.unfold(0, CONTEXT + HOP, HOP), weights or _packaged()).numpy()


def _network(frames: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
    """Frames [T, 576] -> probabilities [T]: a spectrum, four convolutions over its four columns, a recurrence."""
    columns = F.conv1d(F.pad(frames[:, None], (0, CONTEXT), mode="reflect"), weights["stft_conv.weight"], stride=128)
    real, imaginary = columns.chunk(2, dim=1)
    hidden = (real**2 + imaginary**2).sqrt()
    for name, stride in STRIDES.items():
        kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        hidden = F.relu(F.conv1d(hidden, kernel, bias, stride=stride, padding=1))
    recurrence = torch.nn.LSTM(128, 128)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    recurrence.load_state_dict({f"{name}_l0": weights[f"lstm_cell.{name}"] for name in names})
    states, _ = recurrence(hidden[:, :, 0])
    return torch.sigmoid(F.relu(states) @ weights["final_conv.weight"][0, :, 0] + weights["final_conv.bias"])


@cache
def _packaged() -> dict[str, Tensor]:
    from safetensors.torch import load_file

    spec = find_spec("silero_vad")
    if spec is None or spec.origin is None:
        raise BookError("the detector needs the package silero-vad; `pip install -r requirements-data.txt --no-deps`")
    return load_file(Path(spec.origin).parent / "data" / "silero_vad_16k.safetensors")
