"""How `impl="auto"` chooses, and how it tells: a kernel offers its implementations in order of preference."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lib.errors import BookError

KERNELS = {
    "gated_delta_rule": ("lib.kernels.gated_delta.rule", "explain_gated_delta_rule"),
    "gated_residual_memory": ("lib.kernels.memory.rule", "explain_gated_residual_memory"),
    "selective_scan": ("lib.kernels.selective_scan.rule", "explain_selective_scan"),
    "topk_decode": ("lib.kernels.topk.rule", "explain_topk_decode"),
}


@dataclass(frozen=True)
class Choice:
    """Which implementation a call takes, why, and what spoke against those that it cannot take."""

    kernel: str
    impl: str
    reason: str
    refused: Mapping[str, str]

    def __str__(self) -> str:
        lines = [f"{self.kernel}: {self.impl} ({self.reason})"]
        lines += [f"  not {name}: {why}" for name, why in self.refused.items()]
        return "\n".join(lines)


def pick(kernel: str, impl: str, usable: Mapping[str, str], refused: Mapping[str, str]) -> Choice:
    """Choose among implementations.

    usable: name -> why it would be taken, best first. refused: name -> why these arguments cannot use it.
    impl: a name, or "auto" for the first usable one.
    Raises BookError when impl is unknown or refused for these arguments.
    """
    if impl == "auto":
        name, reason = next(iter(usable.items()))
        return Choice(kernel, name, reason, refused)
    if impl in usable:
        return Choice(kernel, impl, f"asked for: {usable[impl]}", refused)
    if impl in refused:
        raise BookError(f"impl={impl!r} cannot serve {kernel} here: {refused[impl]}; use impl='auto'")
    known = ", ".join(sorted({*usable, *refused}))
    raise BookError(f"impl={impl!r} is no implementation of {kernel}; use 'auto' or one of {known}")


def explain(kernel: str | Callable, *args: object, **kwargs: object) -> Choice:
    """Say which implementation a kernel would take for a call, and why; nothing is computed.

    kernel: a public kernel function or its name. The rest: the arguments of the call, as they would be given.
    `print(explain(gated_delta_rule, q, k, v, g, beta))` lists the choice and what was ruled out.
    Raises BookError for a kernel that is not known.
    """
    name = kernel if isinstance(kernel, str) else kernel.__name__
    if name not in KERNELS:
        raise BookError(f"kernel={name!r} is not known; explain covers {', '.join(sorted(KERNELS))}")
    module, function = KERNELS[name]
    return getattr(importlib.import_module(module), function)(*args, **kwargs)
