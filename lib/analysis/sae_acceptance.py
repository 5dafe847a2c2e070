"""An acceptance test for a sparse autoencoder: what it must show before anyone reads its features.

R2 is not on the list as such. It can be raised without any change to the model's function, so no value of it is
evidence; what is asked of it is that it should not owe its height to one direction. The limits are conventions, and
stated; each is one number that a reader can move. Chapter 05, "What to accept an SAE by".
"""

from __future__ import annotations

from dataclasses import dataclass

from lib.analysis.patched_loss import Patched
from lib.errors import BookError


@dataclass(frozen=True)
class Limits:
    """What is asked for. Raises BookError for limits that nothing could meet or miss."""

    excess: float = 0.1
    """Loss added by the reconstruction, in nats a token: the upper end of its interval stays below this."""
    recovered: float = 0.9
    """Share of the loss between ablation and the untouched model that is kept, at least."""
    dominance: float = 0.1
    """Largest fall of R2 when the direction of largest variance is taken out of the space."""
    alive: float = 0.5
    """Share of features that fire on the held-out text, at least: fewer, and the budget was too small to judge."""
    transfer: float = 2.0
    """Added loss on text of another kind, over that on the held-out text, at most."""

    def __post_init__(self) -> None:
        if not self.excess > 0 or not 0 < self.recovered < 1 or not 0 < self.alive <= 1 or not self.transfer > 0:
            raise BookError(f"{self}: shares lie between 0 and 1, and nats and ratios above 0")


@dataclass(frozen=True)
class Acceptance:
    """The verdict, and what each criterion measured against its limit: {criterion: (measured, limit, passed)}."""

    criteria: dict[str, tuple[float, float, bool]]

    @property
    def accepted(self) -> bool:
        """True when every criterion is met."""
        return all(passed for _, _, passed in self.criteria.values())

    @property
    def failed(self) -> list[str]:
        """The criteria that are not met, in order."""
        return [name for name, (_, _, passed) in self.criteria.items() if not passed]

    def __str__(self) -> str:
        return "accepted" if self.accepted else "refused: " + ", ".join(self.failed)


def accept(
    found: Patched,
    highest_excess: float,
    linear: Patched,
    elsewhere: Patched | None = None,
    limits: Limits = Limits(),
) -> Acceptance:
    """Judge an autoencoder by what its reconstruction does to the model.

    found: it, scored on held-out text. highest_excess: upper end of the interval of its added loss, over sequences or
    seeds. linear: as many principal components as it keeps features, scored on the same text. elsewhere: it, scored on
    text of another kind; without it that criterion is left out. Raises BookError when `found` had no code.
    """
    if found.alive is None:
        raise BookError("what is to be accepted has no code; score an autoencoder with `features=`")
    fall = found.r2 - found.deflated_r2
    criteria = {
        "added loss": (highest_excess, limits.excess, highest_excess < limits.excess),
        "recovered": (found.recovered, limits.recovered, found.recovered >= limits.recovered),
        "better than linear": (found.excess, linear.excess, found.excess < linear.excess),
        "no single direction": (fall, limits.dominance, fall <= limits.dominance),
        "alive features": (found.alive, limits.alive, found.alive >= limits.alive),
    }
    if elsewhere is not None:
        grows = elsewhere.excess / found.excess if found.excess > 0 else 1.0
        criteria["other text"] = (grows, limits.transfer, grows <= limits.transfer)
    return Acceptance(criteria)
