"""The average against its closed form, with and without debiasing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lib.errors import BookError
from lib.trainers import EMA


class Scalar(nn.Module):
    """One weight that the test moves."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([value], dtype=torch.float64))

    def move(self, value: float) -> None:
        """Set the weight."""
        self.weight.data.fill_(value)


def run(debias: bool, values: list[float], decay: float = 0.9) -> EMA:
    model = Scalar(100.0)
    average = EMA(model, decay, debias=debias)
    for value in values:
        model.move(value)
        average.update(model)
    return average


def test_closed_forms():
    """a_s = d^s w_0 + (1 - d) sum d^(s - i) w_i; debiased: without w_0 and divided by 1 - d^s."""
    values = [3.0, -1.0, 4.0, 1.0]
    recent = sum(0.1 * 0.9 ** (len(values) - 1 - i) * value for i, value in enumerate(values))
    torch.testing.assert_close(run(False, values).weights()["weight"].item(), 0.9**4 * 100 + recent)
    torch.testing.assert_close(run(True, values).weights()["weight"].item(), recent / (1 - 0.9**4))


def test_debiased_average_of_a_constant_is_the_constant():
    assert run(True, [2.5] * 7).weights()["weight"].item() == pytest.approx(2.5)
    assert run(False, [2.5] * 7).weights()["weight"].item() > 40


@pytest.mark.parametrize(("step", "percent"), [(200, 82), (400, 67), (1000, 37), (1800, 17), (3000, 5)])
def test_share_of_the_initial_weights(step, percent):
    """What of the average is still the random start."""
    average = EMA(Scalar(1.0), 0.999)
    average.updates = step
    assert round(100 * average.initial_share()) == percent


def test_measured_share_is_the_formula():
    """Average of a weight that jumps from 1 to 0 at once: what is left is the share."""
    model = Scalar(1.0)
    average = EMA(model, 0.9)
    model.move(0.0)
    for _ in range(20):
        average.update(model)
    assert average.weights()["weight"].item() == pytest.approx(average.initial_share())
    assert run(True, [0.0]).initial_share() == 0.0


@pytest.mark.parametrize("debias", [False, True], ids=["plain", "debiased"])
def test_applied_puts_back_what_was_there(debias):
    model = Scalar(1.0)
    average = EMA(model, 0.5, debias=debias)
    model.move(3.0)
    average.update(model)
    with average.applied(model):
        assert model.weight.item() == pytest.approx(3.0 if debias else 2.0)
    assert model.weight.item() == 3.0
    with pytest.raises(ZeroDivisionError), average.applied(model):
        raise ZeroDivisionError
    assert model.weight.item() == 3.0


def test_continues_from_its_state():
    whole, first = run(True, [1.0, 2.0, 3.0]), run(True, [1.0, 2.0])
    second = EMA(Scalar(0.0), 0.9, debias=True)
    second.restore(first.state())
    model = Scalar(3.0)
    second.update(model)
    assert torch.equal(second.weights()["weight"], whole.weights()["weight"])


def test_refused():
    with pytest.raises(BookError, match="decay=1"):
        EMA(Scalar(0.0), 1.0)
    with pytest.raises(BookError, match="no update"):
        EMA(Scalar(0.0), 0.9, debias=True).weights()
    with pytest.raises(BookError, match="debias=False"):
        EMA(Scalar(0.0), 0.9, debias=True).restore(run(False, [1.0]).state())
