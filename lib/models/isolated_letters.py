"""A window of frames to one letter: the classifier that the post falls back on, at the size of this book.

The post takes a pretrained network for isolated signs; what matters here is its form: a fixed window in, one label out,
with no way to say two letters. Chapter 02.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lib.errors import BookError
from lib.models.layers import Linear


class IsolatedLetters(nn.Module):
    """Windows [B, W, F] to logits [B, C]: frames are embedded, averaged in three parts, then one hidden layer.

    window: W, at least 3. generator: fills the weights. Raises BookError for a window shorter than 3.
    """

    def __init__(self, inputs: int, window: int, classes: int, generator: torch.Generator, hidden: int = 96) -> None:
        super().__init__()
        if window < 3:
            raise BookError(f"window={window}; three parts need at least 3 frames")
        self.inputs, self.window = inputs, window
        self.frame = Linear(inputs, hidden)
        self.hidden = Linear(3 * hidden, hidden)
        self.output = Linear(hidden, classes)
        for layer in (self.frame, self.hidden, self.output):
            layer.initialise(generator)

    def forward(self, windows: Tensor) -> Tensor:
        """Logits [B, C]. Raises BookError for windows of another shape."""
        if windows.ndim != 3 or windows.shape[1:] != (self.window, self.inputs):
            raise BookError(f"windows are {list(windows.shape)}; give [B, {self.window}, {self.inputs}]")
        frames = self.frame(windows).relu()
        parts = torch.cat([part.mean(dim=1) for part in frames.tensor_split(3, dim=1)], dim=1)
        return self.output(self.hidden(parts).relu())
