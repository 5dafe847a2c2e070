"""Two real codecs behind the same interface: Lyra's SoundStream as released, and EnCodec as transformers has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lib.errors import BookError
from lib.models.codec import check_codes

if TYPE_CHECKING:
    from transformers import EncodecModel


class LyraTokenizer:
    """Lyra v2: 16 kHz, 50 frames a second, up to 46 levels of 16 codes.

    folder: soundstream_encoder.tflite, quantizer.tflite and lyragan.tflite. levels: how many are kept. Encoder and
    decoder remember, so each clip gets new interpreters. Needs `ai-edge-litert`, which the book does not install.
    Raises BookError when that package is missing. Source: google/lyra. Used by chapter 10.
    """

    rate = 16_000
    frame_rate = 50.0
    size = 16

    def __init__(self, folder: Path, levels: int = 46) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise BookError("Lyra needs the package ai-edge-litert: install it, or leave the peer out") from None
        self.folder, self.codebooks, self.interpreter = Path(folder), levels, Interpreter

    def encode(self, wave: np.ndarray) -> np.ndarray:
        """Samples [n] at 16 kHz -> codes [levels, ceil(n / 320)]."""
        hop = 320
        count = -(-len(wave) // hop)
        padded = np.zeros(count * hop, np.float32)
        padded[: len(wave)] = wave
        encoder = self._open("soundstream_encoder.tflite")
        quantise = self._open("quantizer.tflite").get_signature_runner("encode")
        codes = []
        for frame in padded.reshape(count, hop):
            features = run(encoder, frame[None])
            bits = quantise(num_quantizers=np.int32(self.codebooks), input_frames=features.reshape(1, 1, -1))
            codes.append(np.asarray(bits["output_0"]).reshape(-1)[: self.codebooks])
        return np.array(codes).T.astype(np.int64)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes [levels, T] -> samples [T * 320] at 16 kHz."""
        codes = check_codes(codes, self.codebooks, self.size)
        decoder = self._open("lyragan.tflite")
        restore = self._open("quantizer.tflite").get_signature_runner("decode")
        said = []
        for frame in codes.T:
            full = np.full((46, 1, 1), -1, np.int32)
            full[: self.codebooks, 0, 0] = frame
            features = restore(encoding_indices=full)["output_0"]
            said.append(run(decoder, np.asarray(features, np.float32)).reshape(-1))
        return np.clip(np.concatenate(said), -1, 1).astype(np.float32)

    def _open(self, name: str) -> object:
        interpreter = self.interpreter(model_path=str(self.folder / name), num_threads=1)
        interpreter.allocate_tensors()
        return interpreter


def run(interpreter: object, values: np.ndarray) -> np.ndarray:
    """One step of an interpreter with one input and one output."""
    entry = interpreter.get_input_details()[0]
    interpreter.set_tensor(entry["index"], values.reshape(entry["shape"]).astype(np.float32))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


class EncodecTokenizer:
    """EnCodec at 24 kHz and 6 kbit/s: 8 codebooks of 1,024 codes, 75 frames a second, the posts' tokenizer.

    model: a transformers EncodecModel. `from_folder` reads local weights; nothing is downloaded. Used by chapter 10.
    """

    rate = 24_000
    frame_rate = 75.0
    codebooks = 8
    size = 1024

    def __init__(self, model: EncodecModel, bandwidth: float = 6.0) -> None:
        self.model, self.bandwidth = model.eval(), bandwidth

    @classmethod
    def from_folder(cls, folder: Path | str) -> EncodecTokenizer:
        """The codec whose weights lie in a folder that `save_pretrained` wrote. Raises BookError when they do not."""
        from transformers import EncodecModel

        try:
            return cls(EncodecModel.from_pretrained(folder, local_files_only=True))
        except OSError as error:
            raise BookError(f"no EnCodec weights in {folder}: save facebook/encodec_24khz there first") from error

    @classmethod
    def untrained(cls, seed: int = 0) -> EncodecTokenizer:
        """The architecture with random weights: shapes are real, sounds are not."""
        import torch
        from transformers import EncodecConfig, EncodecModel

        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return cls(EncodecModel(EncodecConfig()))

    def encode(self, wave: np.ndarray) -> np.ndarray:
        """Samples [n] at 24 kHz -> codes [8, ceil(n / 320)]."""
        import torch

        values = torch.as_tensor(np.asarray(wave, np.float32))[None, None]
        with torch.no_grad():
            codes = self.model.encode(values, bandwidth=self.bandwidth).audio_codes
        return codes[0, 0].numpy()

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes [8, T] -> samples [T * 320] at 24 kHz."""
        import torch

        codes = check_codes(codes, self.codebooks, self.size)
        with torch.no_grad():
            wave = self.model.decode(torch.as_tensor(codes)[None, None], [None]).audio_values
        return wave[0, 0].numpy()
