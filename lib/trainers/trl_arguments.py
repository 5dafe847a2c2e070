"""Arguments for trl by what its installed classes accept, because their names have changed between versions.

A wanted argument is one name, or several separated by `|` that mean the same in different versions, newest first:
`max_completion_length|max_new_tokens`. The one that the signature has is used. A name that no version of the class
accepts is an error, never dropped in silence: trl's own defaults (another loss, no KL term, groups of eight) are not
those of the post. Chapter 01, "Build it".
"""

from __future__ import annotations

import contextlib
import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from lib import quiet_bars  # noqa: F401 (before transformers)
from lib.errors import BookError


def accepted(target: Callable, wanted: Mapping[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """The wanted arguments under the names that `target` has.

    wanted: values by name or by alternatives, `new|old`. optional: names that may be missing (a version without the
    option behaves as we ask anyway). Raises BookError, naming the argument, when the target has none of its names.
    """
    parameters = inspect.signature(target).parameters
    takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    found = {}
    for names, value in wanted.items():
        alternatives = names.split("|")
        name = next((name for name in alternatives if name in parameters), alternatives[0] if takes_any else None)
        if name is not None:
            found[name] = value
        elif names not in optional:
            where = getattr(target, "__qualname__", str(target))
            raise BookError(f"{where} of this trl accepts none of {', '.join(alternatives)}; install trl 1.16")
    return found


def renamed() -> list[str]:
    """What the installed trl calls the three arguments of GRPO that its versions name differently. Chapter 01."""
    from trl import GRPOConfig, GRPOTrainer

    wanted = ["max_completion_length|max_new_tokens"], ["processing_class|tokenizer", "reward_funcs|reward_function"]
    classes = GRPOConfig.__init__, GRPOTrainer.__init__
    return [
        name for target, names in zip(classes, wanted, strict=True) for name in accepted(target, dict.fromkeys(names))
    ]


@contextlib.contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Seed the three global generators that trl reads, and put back afterwards what they were."""
    import torch

    states = random.getstate(), np.random.get_state()  # noqa: NPY002 (trl reads it)
    with torch.random.fork_rng(devices=list(range(torch.cuda.device_count()))):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No bars and no chatter from datasets, transformers and trl while they train; errors still come through."""
    import logging
    import warnings

    import datasets

    names = ("transformers", "trl", "peft", "accelerate")
    levels = {name: logging.getLogger(name).level for name in names}
    bars = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        if not bars:
            datasets.enable_progress_bars()


def four_bit() -> Any:
    """The quantisation of QLoRA (nf4, double, computed in bfloat16), for the author's 14-billion-parameter model.

    Raises BookError, in one line, where there is no GPU or no bitsandbytes.
    """
    import importlib.util

    import torch

    if not torch.cuda.is_available() or importlib.util.find_spec("bitsandbytes") is None:
        raise BookError("QLoRA needs a GPU and the package bitsandbytes, and one is missing; use LoRA in float32")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )  # fmt: skip
