"""How this machine rounds, as a short hash: machines with the same one repeat a chapter digit for digit.

Processors, instruction sets and BLAS builds add up the same sums in different orders. One training run is enough to
turn that into another last digit, and a long one into another value. So a result carries the fingerprint of the
arithmetic that made it, and a test asks for every digit only where the fingerprint is the same.

    python -m lib.press.arithmetic
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

from lib.errors import BookError

# What a kernel runs under when its values are kept or compared: sums round alike only for one number of threads.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
SIZES = ((3, 17, 64), (32, 96, 48), (128, 257, 192))  # rows, inner size, columns: ragged, small, blocked
STEPS = 3


def fingerprint(environment: dict[str, str] | None = None) -> str:
    """Twelve hexadecimal digits of how a fresh process computes under `environment` (by default, as chapters do)."""
    command = [sys.executable, "-m", "lib.press.arithmetic"]
    setting = os.environ | ONE_THREAD | (environment or {})
    done = subprocess.run(command, capture_output=True, text=True, env=setting, check=False)
    if done.returncode:
        raise BookError(f"this machine's arithmetic cannot be told: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout.strip()


def measure() -> str:
    """The same of this process: hashes of a short training run and of the decompositions that chapters rely on."""
    import numpy as np
    import torch

    seen = hashlib.sha256(torch.backends.cpu.get_cpu_capability().encode())  # our own kernels are built for it too
    for rows, inner, columns in SIZES:
        rng = np.random.default_rng(inner)
        data, weights = rng.normal(size=(rows, inner)), rng.normal(size=(inner, columns)) / inner**0.5
        for array in (data @ weights, *np.linalg.eigh(data.T @ data), np.exp(data), data.sum(axis=0)):
            seen.update(np.ascontiguousarray(array).tobytes())
        x = torch.tensor(data, dtype=torch.float32)
        layer = torch.tensor(weights, dtype=torch.float32, requires_grad=True)
        for _ in range(STEPS):
            hidden = torch.nn.functional.layer_norm(torch.tanh(x @ layer), (columns,))
            loss = torch.logsumexp(hidden, dim=1).mean() + torch.nn.functional.gelu(layer).square().sum()
            (slope,) = torch.autograd.grad(loss, layer)
            layer = (layer - 0.1 * slope).detach().requires_grad_()
        seen.update(layer.detach().numpy().tobytes())
    return seen.hexdigest()[:12]


if __name__ == "__main__":
    print(measure())
