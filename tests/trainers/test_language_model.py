"""The trainer: it learns, it computes what it says, and it goes on from a checkpoint as if nothing had happened."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib.errors import BookError
from lib.models import HybridDecoder
from lib.trainers import EMA, Batches, CheckpointStore, evaluate, train
from lib.trainers.batching import collate
from lib.trainers.language_model import Progress

from .conftest import PAD


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def weights_of(run: Progress) -> dict[str, torch.Tensor]:
    parts = {"model": run.model.state_dict(), **{name: average.weights() for name, average in run.averages.items()}}
    return {f"{part}/{name}": weight for part, group in parts.items() for name, weight in group.items()}


def identical(left: Progress, right: Progress) -> bool:
    ours, theirs = weights_of(left), weights_of(right)
    return left.history == right.history and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_it_learns(make_model, make_config, data):
    config = make_config(steps=60, peak_lr=3e-2)
    model = make_model(dropout=0.0)
    before = evaluate(model, data, config)
    run = train(model, data, config, generator=rng(), validation=data)
    after = evaluate(model, data, config)
    assert abs(before.nll - math.log(18)) < 0.2
    assert after.nll < 0.6 * before.nll
    assert after.smoothed > after.nll
    assert run.step == 60


def test_history(make_model, make_config, data):
    config = make_config()
    run = train(make_model(), data, config, generator=rng(), validation=data[:9])
    updates = [record for record in run.history if record["kind"] == "train"]
    assert [record["step"] for record in updates] == [2, 4, 6, 8, 10, 12]
    assert updates[0]["lr"] == pytest.approx(1e-2 / 3)
    assert all(record["grad_norm"] > 0 and record["tokens"] > 0 for record in updates)
    evaluations = [(record["step"], record["weights"]) for record in run.history if record["kind"] == "eval"]
    assert evaluations == [(step, name) for step in (5, 10, 12) for name in ("live", "ema")]
    last = run.history[-1]
    targets = sum(item.shape[1] for item in data[:9])
    assert last["tokens_by_codebook"] == [targets - 9, targets]


def test_an_update_is_what_the_framework_does(make_model, make_config, data):
    """Three updates against AdamW, cross_entropy with label smoothing and clipping, written out."""
    config = make_config(steps=3, decay="all", clip=0.5)
    ours = train(make_model(dropout=0.0), data, config, generator=rng()).model
    theirs = make_model(dropout=0.0).train()
    generator = rng()
    generator.integers(2**62)
    batches = Batches(len(data), config.batch, generator)
    optimiser = torch.optim.AdamW(theirs.parameters(), betas=config.betas, weight_decay=config.weight_decay)
    for rate in (0.0, 1e-2 / 3, 2e-2 / 3):
        batch = collate([data[i] for i in batches.next()], pad=PAD)
        logits = theirs(batch.inputs)
        loss = F.cross_entropy(
            logits.permute(0, 3, 1, 2), batch.targets, ignore_index=PAD, label_smoothing=config.smoothing
        )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()
    for name, weight in ours.named_parameters():
        torch.testing.assert_close(weight, theirs.get_parameter(name), atol=1e-5, rtol=1e-4, msg=name)
    fresh = make_model(dropout=0.0)
    assert any((weight - fresh.get_parameter(name)).abs().max() > 1e-3 for name, weight in ours.named_parameters())


@pytest.mark.parametrize("parts", [2, 4])
def test_micro_batches_make_the_same_update(make_model, make_config, data, parts):
    """Micro-batches of different lengths: dividing by all targets of the update makes them add up."""
    whole = train(make_model(dropout=0.0), data, make_config(steps=3), generator=rng())
    split = train(make_model(dropout=0.0), data, make_config(steps=3, accumulate=parts), generator=rng())
    for field in ("loss", "nll", "grad_norm", "tokens"):
        assert split.history[-1][field] == pytest.approx(whole.history[-1][field], rel=1e-5)


@pytest.mark.parametrize("stop", [4, 5, 8, 11], ids=lambda n: f"stopped at {n}")
@pytest.mark.parametrize("bucketed", [False, True], ids=["shuffled", "bucketed"])
def test_a_resumed_run_is_the_uninterrupted_one(make_model, make_config, data, tmp_path, stop, bucketed):
    """Bit for bit, with dropout, two averages, and an end within an epoch of five batches."""
    config = make_config(bucketed=bucketed, schedule_steps=12)

    def go(steps: int, seed: int, store: CheckpointStore | None) -> Progress:
        model = make_model()
        debiased = {"debiased": EMA(model, 0.99, debias=True)}
        again = replace(config, steps=steps)
        return train(model, data, again, generator=rng(seed), validation=data[:8], checkpoints=store, averages=debiased)

    whole = go(12, 0, None)
    go(stop, 0, CheckpointStore(tmp_path))
    resumed = go(12, 99, CheckpointStore(tmp_path))
    kept = [record for record in resumed.history if record["step"] > stop]
    assert kept == [record for record in whole.history if record["step"] > stop]
    left, right = weights_of(whole), weights_of(resumed)
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert not identical(whole, go(12, 1, None))


@pytest.mark.parametrize("forgotten", ["data position", "dropout", "optimiser"])
def test_forgetting_any_part_shows(make_model, make_config, data, tmp_path, monkeypatch, forgotten):
    """The test above can fail: a resume that forgets one part ends elsewhere."""
    config = make_config(schedule_steps=12)
    whole = train(make_model(), data, config, generator=rng())
    train(make_model(), data, replace(config, steps=8), generator=rng(), checkpoints=CheckpointStore(tmp_path))
    target = {
        "data position": "lib.trainers.batching.Batches.restore",
        "dropout": "lib.trainers.resume.set_random_state",
        "optimiser": "lib.trainers.resume.restore_optimiser",
    }[forgotten]
    monkeypatch.setattr(target, lambda *args: None)
    resumed = train(make_model(), data, config, generator=rng(99), checkpoints=CheckpointStore(tmp_path))
    assert not identical(whole, resumed)


def test_a_finished_run_is_not_run_again(make_model, make_config, data, tmp_path):
    config = make_config()
    first = train(make_model(), data, config, generator=rng(), checkpoints=CheckpointStore(tmp_path))
    again = train(make_model(), data, config, generator=rng(7), checkpoints=CheckpointStore(tmp_path))
    assert identical(first, again)


def test_a_corrupt_newest_checkpoint(make_model, make_config, data, tmp_path, caplog):
    """The run goes on from the one before it, says so, and still ends where it would have."""
    config = make_config(schedule_steps=12)
    whole = train(make_model(), data, config, generator=rng())
    train(make_model(), data, replace(config, steps=8), generator=rng(), checkpoints=CheckpointStore(tmp_path))
    (newest,) = tmp_path.glob("step-00000008-*.safetensors")
    newest.write_bytes(newest.read_bytes()[:-1])
    with caplog.at_level(logging.WARNING):
        resumed = train(make_model(), data, config, generator=rng(99), checkpoints=CheckpointStore(tmp_path))
    assert newest.name in caplog.text
    assert identical(whole, resumed)


@pytest.mark.parametrize(
    ("changes", "items", "message"),
    [
        pytest.param({"smoothing": 0.2}, 40, "smoothing=0.1, not 0.2", id="another loss"),
        pytest.param({"steps": 20, "schedule_steps": None}, 40, "schedule_steps=12, not 20", id="another schedule"),
        pytest.param({}, 39, "items=40, not 39", id="other data"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(make_model, make_config, data, tmp_path, changes, items, message):
    train(make_model(), data, make_config(), generator=rng(), checkpoints=CheckpointStore(tmp_path))
    with pytest.raises(BookError, match=message):
        train(
            make_model(), data[:items], make_config(**changes), generator=rng(), checkpoints=CheckpointStore(tmp_path)
        )


def test_a_checkpoint_with_other_averages_is_refused(make_model, make_config, data, tmp_path):
    train(make_model(), data, make_config(), generator=rng(), checkpoints=CheckpointStore(tmp_path))
    model = make_model()
    with pytest.raises(BookError, match="averages"):
        train(
            model,
            data,
            make_config(),
            generator=rng(),
            checkpoints=CheckpointStore(tmp_path),
            averages={"slow": EMA(model, 0.99)},
        )


def test_callbacks_see_and_stop(make_model, make_config, data, tmp_path):
    """A callback can end the run; the checkpoint is of that step, and the run can go on."""
    seen = []

    def watch(progress: Progress) -> bool:
        seen.append((progress.step, progress.history[-1]["kind"]))
        return progress.step == 6

    store = CheckpointStore(tmp_path)
    run = train(
        make_model(), data, make_config(), generator=rng(), validation=data, callbacks=[watch], checkpoints=store
    )
    assert seen == [(2, "train"), (4, "train"), (5, "eval"), (6, "train")]
    assert run.step == 6
    assert store.steps() == [4, 6]
    whole = train(make_model(), data, make_config(), generator=rng(), validation=data)
    assert identical(
        whole, train(make_model(), data, make_config(), generator=rng(), validation=data, checkpoints=store)
    )


def test_the_caller_s_randomness_is_left_alone(make_model, make_config, data):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(make_model(), data, make_config(steps=2), generator=rng())
    assert torch.equal(before, torch.get_rng_state())


def test_evaluation_does_not_depend_on_the_batch(make_model, make_config, data):
    model = make_model()
    scores = [evaluate(model, data, make_config(batch=size)) for size in (1, 7, 40)]
    for score in scores[1:]:
        assert score.nll == pytest.approx(scores[0].nll, rel=1e-6)
        assert score.tokens_by_codebook == scores[0].tokens_by_codebook
        assert score.top5_by_codebook == scores[0].top5_by_codebook
    assert len({round(score.smoothed_batch_mean, 6) for score in scores}) == 3
    assert evaluate(model, data, make_config(eval_batches=2)) == evaluate(model, data[:16], make_config())


def test_evaluation_leaves_the_mode_alone(make_model, make_config, data):
    model = make_model().train()
    first = evaluate(model, data, make_config())
    assert model.training
    assert evaluate(model.eval(), data, make_config()) == first
    assert not model.training


class Bigram(nn.Module):
    """The least model that the trainer accepts; it keeps the shapes that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(2, 18, 18))
        self.shapes = []

    def forward(self, tokens: torch.Tensor, lengths: list[int]) -> torch.Tensor:
        """Tokens [B, 2, T] -> logits [B, 2, T, 18]."""
        self.shapes.append((tokens.shape[2], max(lengths)))
        return torch.stack([self.table[k][tokens[:, k]] for k in range(2)], dim=1)


def test_any_model_will_do_and_batches_are_trimmed(make_config, data):
    model = Bigram()
    run = train(model, data, make_config(steps=30, bucketed=True, peak_lr=0.3), generator=rng())
    assert run.history[-1]["nll"] < 1.0
    assert all(time == longest for time, longest in model.shapes)
    assert len({time for time, _ in model.shapes}) > 1


def test_steps_without_delay(make_config, data):
    run = train(Bigram(), data, make_config(delay=False, steps=2), generator=rng())
    assert run.history[-1]["tokens"] == pytest.approx(8 * 2 * 8, rel=0.3)


def test_text_conditioning(make_model, make_config, data):
    """The text says how far the second codebook is from the first: a decoder that reads it knows its first token."""
    config = replace(make_model().config, cross_attention=(1, 2), text_width=8, dropout=0.0)
    shifts = rng(1).integers(0, 8, len(data))
    items = [
        {"codes": np.stack((item[0], (item[0] + shift) % 16)), "text": np.eye(8, dtype=np.float32)[[shift]]}
        for item, shift in zip(data, shifts, strict=True)
    ]
    model = HybridDecoder(config, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for block in model.blocks:
            block.cross.gate.fill_(1.0)
    run = train(model, items, make_config(steps=60, peak_lr=3e-2), generator=rng())
    wrong = [{**item, "text": np.roll(item["text"], 1)} for item in items]
    informed, misled = (evaluate(run.model, kind, make_config()).nll_by_codebook for kind in (items, wrong))
    assert informed[1] < misled[1] - 0.05


def test_bf16(make_model, make_config, data):
    """Autocast changes the numbers a little, and keeps the weights in float32; auto is fp32 on a CPU."""
    runs = [
        train(make_model(dropout=0.0), data, make_config(steps=4, precision=precision), generator=rng())
        for precision in ("fp32", "auto", "bf16")
    ]
    losses = [run.history[-1]["loss"] for run in runs]
    assert losses[0] == losses[1] != losses[2]
    assert losses[2] == pytest.approx(losses[0], rel=0.02)
    assert all(weight.dtype == torch.float32 for weight in runs[2].model.parameters())


def test_a_loss_that_is_not_finite_stops_the_run(make_model, make_config, data, tmp_path):
    """Nothing that came out of it is saved."""
    model = make_model()
    with torch.no_grad():
        model.final_norm.weight[0] = math.nan
    store = CheckpointStore(tmp_path)
    with pytest.raises(BookError, match="loss is nan at step 2"):
        train(model, data, make_config(), generator=rng(), checkpoints=store)
    assert store.steps() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("steps", 0), ("batch", 0), ("log_every", 0), ("smoothing", 1.0), ("clip", 0.0), ("precision", "fp8")],
)
def test_config_names_what_is_wrong(make_config, field, value):
    with pytest.raises(BookError, match=f"{field}="):
        make_config(**{field: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"batch": 9, "accumulate": 2}, "batch=9", id="no even split"),
        pytest.param({"batch": 41}, "batch=41 with 40 items", id="too few items"),
    ],
)
def test_batch_must_fit(make_model, make_config, data, changes, message):
    with pytest.raises(BookError, match=message):
        train(make_model(), data, make_config(**changes), generator=rng())


def test_empty_evaluation_set(make_model, make_config):
    with pytest.raises(BookError, match="empty"):
        evaluate(make_model(), [], make_config())
