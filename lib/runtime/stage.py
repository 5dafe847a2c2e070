"""A stage of a pipeline, and what a run of stages reports; the threaded and the replayed form share both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from lib.errors import BookError

Policy = Literal["block", "drop_oldest", "drop_newest"]
"""What happens when an item meets a full queue: the sender waits, the oldest item goes, or the new one goes."""


def _nothing() -> Iterable[Any]:
    return ()


def _one_tick(item: Any) -> float:
    return 1.0


@dataclass(frozen=True)
class Stage:
    """One worker with a bounded queue before it."""

    name: str
    """What an error report calls it."""
    work: Callable[[Any], Iterable[Any]]
    """One item in, any number of items out; may keep state, since one worker calls it in order."""
    capacity: int = 4
    """Items that may wait before it."""
    policy: Policy = "block"
    """What happens to an item that meets a full queue."""
    finish: Callable[[], Iterable[Any]] = _nothing
    """Called once after the last item; what is still held comes out."""
    cost: Callable[[Any], float] = _one_tick
    """Ticks that the item takes; only a replay asks."""

    def __post_init__(self) -> None:
        if self.capacity < 1:
            raise BookError(f"capacity of stage {self.name!r} is {self.capacity}; at least one item must fit")
        if self.policy not in ("block", "drop_oldest", "drop_newest"):
            raise BookError(f"policy of stage {self.name!r} is {self.policy!r}; block, drop_oldest or drop_newest")


def check_names(stages: Sequence[Stage]) -> None:
    """Raises BookError for no stage at all or a name that comes twice."""
    names = [stage.name for stage in stages]
    if not names or len(set(names)) < len(names):
        raise BookError(f"the stages are {names}; give at least one, and each a name of its own")


@dataclass
class Report:
    """What came out, and what it took."""

    outputs: list[Any] = field(default_factory=list)
    """Items that left the last stage, in order."""
    dropped: dict[str, int] = field(default_factory=dict)
    """Items dropped before each stage."""
    deepest: dict[str, int] = field(default_factory=dict)
    """Most items that ever waited before each stage."""
    latencies: list[float] = field(default_factory=list)
    """Ticks from the arrival of the item that caused an output to the output; a threaded run leaves it empty."""
    waited: int = 0
    """Most items of the source that waited outside because the first stage would not take them."""
