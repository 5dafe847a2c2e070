"""Lazy re-exports: `from lib.kernels import gated_delta_rule` reads a module only when the name is used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def exports(
    package: str, names: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]], list[str]]:
    """Give a package its lazy public names (PEP 562).

    Use it as `__getattr__, __dir__, __all__ = exports(__name__, {"public_name": ".module"})`.
    A public name is read from that module at first use and kept in the package afterwards.
    A name that equals its module stands for the module itself.

    Raises AttributeError for a name that is not listed, with the names that are.
    """

    def __getattr__(name: str) -> object:
        if name not in names:
            known = ", ".join(sorted(names))
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it offers {known}")
        module = importlib.import_module(names[name], package)
        value = module if names[name] == f".{name}" else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *names})

    return __getattr__, __dir__, sorted(names)
