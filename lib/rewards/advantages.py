r"""Advantages of a group of answers to one prompt, as GRPO computes them, and what they cannot see.

With $G$ answers to one prompt and rewards $r_1, \dots, r_G$, the advantage is
$A_i = (r_i - \bar r) / (s + \varepsilon)$ with the group's sample standard deviation $s$ (Shao et al. 2024, eq. 3; trl
takes $\varepsilon = 10^{-4}$), or $A_i = r_i - \bar r$ without the division (Dr. GRPO, Liu et al. 2025). With
$\varepsilon = 0$ the first is blind to any map $r \mapsto a r + b$ with $a > 0$: with two outcomes, +1 and -0.8 teach
what +1 and -5 teach. Chapter 01, "Reward design".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lib.errors import BookError

if TYPE_CHECKING:
    from torch import Tensor

EPSILON = 1e-4  # trl adds it to the standard deviation
Scale = Literal["group", "batch", "none"]


def group_advantages(rewards: Tensor, *, scale: Scale = "group", eps: float = EPSILON) -> Tensor:
    """Advantages [P, G] of rewards [P, G], a row per prompt; the dtype is kept.

    scale: "group" divides by each row's sample standard deviation plus eps, "batch" by that of all rewards, "none" by
    nothing. Raises BookError for one answer a prompt, which has nothing to be compared with.
    """
    if rewards.ndim != 2 or rewards.shape[1] < 2:
        raise BookError(f"rewards of shape {tuple(rewards.shape)}; give [prompts, answers] with at least 2 answers")
    if scale not in ("group", "batch", "none"):
        raise BookError(f"scale={scale!r}; use 'group', 'batch' or 'none'")
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    if scale == "none":
        return centred
    spread = rewards.std(dim=1, keepdim=True) if scale == "group" else rewards.std()
    return centred / (spread + eps)


def zero_signal(rewards: Tensor) -> Tensor:
    """Which prompts teach nothing because all their answers earn the same: bool [P] of rewards [P, G]."""
    return (rewards == rewards[:, :1]).all(dim=1)


def zero_signal_share(success: float, group: int = 4) -> float:
    r"""$p^G + (1 - p)^G$: the expected share of groups without a signal, with two outcomes and independent answers.

    success: probability p of the better outcome. Chapter 01, "Reward design": 65.6 % at p = 0.9 and G = 4.
    """
    if not 0 <= success <= 1 or group < 1:
        raise BookError(f"p={success}, G={group}; a probability lies between 0 and 1, and a group has answers")
    return success**group + (1 - success) ** group
