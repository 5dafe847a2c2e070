"""Stages of training in a row, each taught once: "SFT+GRPO+DPO" reuses what "SFT+GRPO" came to. Chapter 01."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lib.errors import BookError
from lib.trainers.preferences import Imitation, Leash, Taught

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Stage = Callable[["PreTrainedModel", int], Taught]  # a model and a seed -> that model, taught


class Curriculum:
    """Models that training begins with, stages that can follow, and everything that was reached so far.

    starts: models by name. stages: what teaches a model further, by name. A path joins names with `+`, a start first.
    """

    def __init__(self, starts: Mapping[str, PreTrainedModel], stages: Mapping[str, Stage]) -> None:
        for name in [*starts, *stages]:
            if "+" in name or not name:
                raise BookError(f"{name!r} cannot name a start or a stage: paths join names with +")
        self.starts, self.stages = dict(starts), dict(stages)
        self._reached: dict[tuple[str, int], Taught] = {}

    def reach(self, path: str, seed: int) -> Taught:
        """The model at the end of a path, every stage run with `seed`; raises BookError for an unknown name."""
        first, *rest = path.split("+")
        if first not in self.starts or not set(rest) <= set(self.stages):
            known = f"one of {', '.join(self.starts)}, then any of {', '.join(self.stages)}"
            raise BookError(f"there is no path {path!r}; join with + {known}")
        if not rest:
            return Taught(self.starts[first], ())
        if (path, seed) not in self._reached:
            before = self.reach(path.rsplit("+", 1)[0], seed)
            self._reached[path, seed] = self.stages[rest[-1]](before.model, seed)
        return self._reached[path, seed]


def equal_steps(leash: Leash, imitation: Imitation) -> int:
    """How many updates of imitation cost as much as GRPO under `leash`, counted in passes over a sequence.

    A forward pass counts one, a backward pass two. GRPO samples every answer (one, in small pieces), asks the reference
    (one) and updates (three): five an answer. Imitation pays three a pair. Sequences are taken to be equally long.
    """
    return max(1, round(leash.steps * leash.prompts * leash.group * 5 / (imitation.batch * 3)))
