"""Three ways to teach a causal language model, as thin layers over trl: imitation, group reward, pairs.

`sft` imitates answers (SFTTrainer), `grpo` samples a group of answers to each prompt and reinforces those that a reward
puts above their group (GRPOTrainer, Shao et al. 2024), `dpo` raises chosen above rejected answers (DPOTrainer, Rafailov
et al. 2023). Each takes a model, leaves it as it was, and returns a trained copy with what was logged at every step.
GRPO and DPO train a LoRA adapter that is merged afterwards; while they run, the model without its adapter is the
reference that the KL term, or the pair loss, is measured from.

    tuned = sft(base, tokenizer, pairs, Imitation(steps=200))
    trained = grpo(tuned.model, tokenizer, prompts, reward, Leash(rate=1e-3, steps=40))

Left out: evaluation and saving inside trl (the chapter does both), warm-up, packing.
"""

from __future__ import annotations

import copy
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from lib import quiet_bars  # noqa: F401 (before transformers)
from lib.errors import BookError
from lib.trainers.trl_arguments import accepted, own_randomness, quiet

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)
Reward = Callable[[int, str], float]  # number of the prompt in the list, the completion -> reward


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise BookError(f"{name}={value}; it must be above 0")


@dataclass(frozen=True)
class Adapter:
    """A low-rank adapter (LoRA, Hu et al. 2021) on every linear layer of the blocks."""

    rank: int = 4
    """r, the post's 4."""
    alpha: int = 8
    """The adapter is scaled by alpha / rank; the post's 8."""

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0:
            raise BookError(f"rank={self.rank}, alpha={self.alpha}; take a rank of at least 1 and alpha above 0")


@dataclass(frozen=True)
class Imitation:
    """Supervised fine-tuning on prompts with one answer each; the loss is on the answer alone."""

    steps: int = 200
    """Updates."""
    batch: int = 32
    """Pairs in an update."""
    rate: float = 1e-3
    """Learning rate."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Whether the rate stays or falls to zero."""
    seed: int = 0
    """Draws orders and the adapter's first weights."""
    adapter: Adapter | None = None
    """None trains every weight (the pocket decoder); the post used an adapter on a quantised model."""

    def __post_init__(self) -> None:
        _positive(steps=self.steps, batch=self.batch, rate=self.rate)


@dataclass(frozen=True)
class Leash:
    """Group relative policy optimisation: how far, how fast and how tightly held. The defaults are the post's."""

    steps: int = 40
    """Updates."""
    prompts: int = 16
    """Prompts in an update, each with a group of answers."""
    group: int = 4
    """Answers to a prompt, G."""
    rate: float = 5e-7
    """Learning rate, constant."""
    beta: float = 0.2
    """Weight of the KL divergence from the model that training began with."""
    loss: Literal["grpo", "dr_grpo", "dapo", "bnpo"] = "grpo"
    """Which sum over tokens: "grpo" averages over each answer's tokens; the installed trl would take "dapo"."""
    scale: Literal["group", "batch", "none"] = "group"
    """What advantages are divided by: the group's standard deviation, the batch's, or nothing (Dr. GRPO)."""
    temperature: float = 1.0
    """Of sampling."""
    max_new_tokens: int = 12
    """Longest answer."""
    adapter: Adapter = field(default_factory=Adapter)
    """The adapter that is trained."""
    seed: int = 0
    """Draws orders, samples and the adapter's first weights."""

    def __post_init__(self) -> None:
        _positive(steps=self.steps, prompts=self.prompts, rate=self.rate, max_new_tokens=self.max_new_tokens)
        if self.group < 2 or self.beta < 0 or not self.temperature > 0:
            values = f"group={self.group}, beta={self.beta}, temperature={self.temperature}"
            raise BookError(f"{values}; take a group of at least 2, beta from 0 up and a temperature above 0")


@dataclass(frozen=True)
class Pairs:
    """Direct preference optimisation on pairs of a chosen and a rejected answer."""

    steps: int = 20
    """Updates."""
    batch: int = 32
    """Pairs in an update."""
    rate: float = 1e-3
    """Learning rate, constant."""
    beta: float = 0.1
    """How far the reference holds; the post does not say, this is trl's default."""
    imitation: float = 0.0
    """Weight of an added likelihood term on the chosen answer; 0 is plain DPO."""
    adapter: Adapter = field(default_factory=Adapter)
    """The adapter that is trained."""
    seed: int = 0
    """Draws orders and the adapter's first weights."""

    def __post_init__(self) -> None:
        _positive(steps=self.steps, batch=self.batch, rate=self.rate, beta=self.beta)
        if self.imitation < 0:
            raise BookError(f"imitation={self.imitation}; a weight is not negative")


@dataclass(frozen=True)
class Taught:
    """A trained model and what happened at every step."""

    model: PreTrainedModel
    history: tuple[dict[str, float], ...]
    """One mapping a step: loss; for GRPO also reward, kl, length, and the shares of groups whose answers all earn the
    same (zero_signal) and of those with three or more different rewards (mixed)."""

    def last(self, name: str, steps: int = 10) -> float:
        """The mean of a logged value over the last few steps; raises BookError when it was not logged."""
        values = [row[name] for row in self.history if name in row][-steps:]
        if not values:
            raise BookError(f"{name!r} was not logged; there is {', '.join(self.history[-1]) or 'nothing'}")
        return sum(values) / len(values)


POST = Leash()
POCKET = replace(POST, rate=1e-3, adapter=Adapter(rank=16, alpha=32))  # the rate by measured KL a step, chapter 01


def sft(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pairs: Sequence[tuple[str, str]], recipe: Imitation
) -> Taught:
    """Imitate answers. pairs: (prompt, answer). Chapter 01, "Build it". Raises BookError when there are none."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    _some(pairs, "pairs")
    rows = {"input_ids": [], "completion_mask": []}
    for prompt, answer in pairs:
        head = tokenizer(prompt)["input_ids"]
        tail = tokenizer(answer, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
        rows["input_ids"].append(head + tail)
        rows["completion_mask"].append([0] * len(head) + [1] * len(tail))
    wanted = {"completion_only_loss": True, "max_length|max_seq_length": 256, "packing": False, "loss_type": "nll"}
    extra = {"train_dataset": Dataset.from_dict(rows), "peft_config": _lora(recipe.adapter)}
    return _train(SFTTrainer, SFTConfig, model, tokenizer, recipe, recipe.batch, wanted, extra, ("loss_type",))


def grpo(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], reward: Reward, recipe: Leash
) -> Taught:
    """Reinforce, within each group of sampled answers, those that earn more.

    reward: called with the number of a prompt in `prompts` and one completion. Chapter 01, "Build it".
    """
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    _some(prompts, "prompts")

    mixed: list[float] = []

    def rewards(completions: list[str], number: list[int], **_: Any) -> list[float]:
        earned = [float(reward(index, text)) for index, text in zip(number, completions, strict=True)]
        groups = [set(earned[place : place + recipe.group]) for place in range(0, len(earned), recipe.group)]
        mixed.append(sum(len(levels) > 2 for levels in groups) / len(groups))
        return earned

    wanted = {
        "num_generations": recipe.group, "max_completion_length|max_new_tokens": recipe.max_new_tokens,
        "beta": recipe.beta, "loss_type": recipe.loss, "temperature": recipe.temperature, "top_p": 1.0,
        "scale_rewards": recipe.scale, "num_iterations": 1, "mask_truncated_completions": False,
    }  # fmt: skip
    data = Dataset.from_dict({"prompt": list(prompts), "number": list(range(len(prompts)))})
    extra = {"train_dataset": data, "reward_funcs|reward_function": rewards, "peft_config": _lora(recipe.adapter)}
    size = recipe.prompts * recipe.group
    taught = _train(GRPOTrainer, GRPOConfig, model, tokenizer, recipe, size, wanted, extra)
    history = ({**row, "mixed": share} for row, share in zip(taught.history, mixed, strict=True))
    return replace(taught, history=tuple(history))


def dpo(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, triples: Sequence[tuple[str, str, str]], recipe: Pairs
) -> Taught:
    """Raise chosen answers above rejected ones. triples: (prompt, chosen, rejected). Chapter 01, "Build it"."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    _some(triples, "triples")
    columns = dict(zip(("prompt", "chosen", "rejected"), map(list, zip(*triples, strict=True)), strict=True))
    losses, weights = (["sigmoid", "sft"], [1.0, recipe.imitation]) if recipe.imitation else (["sigmoid"], None)
    wanted = {"beta": recipe.beta, "loss_type": losses, "loss_weights": weights, "max_length": 256}
    extra = {"train_dataset": Dataset.from_dict(columns), "peft_config": _lora(recipe.adapter)}
    return _train(DPOTrainer, DPOConfig, model, tokenizer, recipe, recipe.batch, wanted, extra, ("loss_weights",))


def _train(
    trainer_class: type, config_class: type, model: Any, tokenizer: Any, recipe: Any, size: int, wanted: dict[str, Any],
    extra: dict[str, Any], optional: tuple[str, ...] = (),
) -> Taught:  # fmt: skip
    import torch
    from transformers import PrinterCallback

    with tempfile.TemporaryDirectory() as folder, own_randomness(recipe.seed), quiet():
        common = {
            "output_dir": folder, "per_device_train_batch_size": size, "max_steps": recipe.steps,
            "learning_rate": recipe.rate, "lr_scheduler_type": getattr(recipe, "schedule", "constant"),
            "warmup_steps": 0, "weight_decay": 0.0,
            "max_grad_norm": 1.0, "seed": recipe.seed, "logging_steps": 1, "save_strategy": "no", "report_to": [],
            "disable_tqdm": True, "bf16": False, "gradient_checkpointing": False,
            "use_cpu|no_cuda": not torch.cuda.is_available(), "dataloader_pin_memory": False,
        }  # fmt: skip
        arguments = config_class(**accepted(config_class.__init__, common | wanted, optional))
        given = {"model": copy.deepcopy(model), "args": arguments, "processing_class|tokenizer": tokenizer} | extra
        trainer = trainer_class(**accepted(trainer_class.__init__, given))
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        taught = trainer.accelerator.unwrap_model(trainer.model)
        taught = _plain(taught.merge_and_unload() if hasattr(taught, "merge_and_unload") else taught)
    history = tuple(_step(row) for row in trainer.state.log_history if "loss" in row)
    logger.info("%s: %d steps, last %s", trainer_class.__name__, len(history), history[-1])
    return Taught(taught.eval(), history)


def _plain(model: Any) -> Any:
    """Take off the forward functions that trl hangs on a model.

    A later copy would go on calling the model that they closed over, and train weights that nothing reads.
    """
    for module in model.modules():
        vars(module).pop("forward", None)
    return model


NAMES = {"loss": "loss", "reward": "reward", "kl": "kl", "frac_reward_zero_std": "zero_signal",
         "completions/mean_length": "length", "rewards/accuracies": "agreement"}  # fmt: skip


def _step(row: dict[str, Any]) -> dict[str, float]:
    return {ours: float(row[theirs]) for theirs, ours in NAMES.items() if theirs in row}


def _lora(adapter: Adapter | None) -> Any:
    if adapter is None:
        return None
    from peft import LoraConfig

    return LoraConfig(
        r=adapter.rank, lora_alpha=adapter.alpha, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def _some(rows: Sequence, what: str) -> None:
    if not rows:
        raise BookError(f"there are no {what} to learn from; give at least one")
