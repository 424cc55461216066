import pytest
import torch
from torch import nn

from edgekd.quant.prepare import prepare
from edgekd.train.networks import Networks
from edgekd.train.options import FreezingSpec, TrainSpec


def test_the_average_is_kept_where_there_is_one() -> None:
    student = nn.Linear(1, 1, bias=False)
    networks = Networks(student, None, (), TrainSpec(ema=0.5))
    for value in (2.0, 4.0):
        nn.init.constant_(student.weight, value)
        networks.after_step(0.5)
    assert networks.kept is not student
    assert networks.kept.weight.item() == pytest.approx(3.0)  # type: ignore[operator,union-attr]
    networks.finish()
    assert student.weight.item() == pytest.approx(3.0)


def test_the_student_is_kept_without_an_average() -> None:
    student = nn.Linear(1, 1)
    assert Networks(student, None, (), TrainSpec()).kept is student


def test_freezing_knows_how_much_of_the_schedule_is_done() -> None:
    """The threshold falls from 0.04 to 0.01: a weight that turns in 2 % of the steps is frozen at the end."""
    student = prepare(nn.Sequential(nn.Linear(3, 1)), torch.randn(2, 3))
    networks = Networks(student, None, (), TrainSpec(freezing=FreezingSpec(momentum=1e-9)))
    frequency, frozen = (networks.tensors()[f"freezer.watched.0.{name}"] for name in ("frequency", "frozen"))
    frequency.fill_(0.02)
    networks.after_step(0.0)
    assert not frozen.any()
    networks.after_step(1.0)
    assert frozen.all()
