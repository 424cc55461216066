"""A teacher that learns, against gradients computed by hand."""

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgekd.train.options import TrainSpec
from edgekd.train.phase import KdLoss, TeacherLearning
from edgekd.train.teaching import FrozenTeacher, LearningTeacher

OPTIONS = TrainSpec(momentum=0.0, weight_decay=0.0)


class HalfSquaredDistance(KdLoss):
    needs_teacher = True

    def forward(self, logits_s: Tensor, logits_t: Tensor | None, y: Tensor) -> Tensor:
        assert logits_t is not None
        return 0.5 * (logits_s - logits_t).square().mean()


def _network() -> nn.Linear:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 2.0)
    return network


@pytest.mark.parametrize(("update", "heard"), [("simultaneous", 6.0), ("sequential", 5.1)])
def test_learning_teacher_takes_a_step_and_is_heard_before_or_after_it(update: str, heard: float) -> None:
    """x = 3, w = 2: it says 6, the student 5; gradient (6 - 5) * 3 = 3; rate 0.2 * 0.5: w = 1.7, says 5.1."""
    learning = TeacherLearning(HalfSquaredDistance(), rate=0.5, update=update)  # type: ignore[arg-type]
    network = _network()
    teacher = LearningTeacher(
        network, Fabric(accelerator="cpu", devices=1), OPTIONS, learning, compiled=False
    )
    logits, loss = teacher.teach(torch.tensor([[3.0]]), torch.tensor([[5.0]]), torch.tensor([0]), 0.2)
    assert float(network.weight.detach()) == pytest.approx(1.7)
    assert float(logits) == pytest.approx(heard)
    assert not logits.requires_grad
    assert loss == pytest.approx(0.5)


def test_frozen_teacher_is_in_eval_mode_without_gradient() -> None:
    network = nn.Sequential(_network(), nn.BatchNorm1d(1))
    teacher = FrozenTeacher(network, Fabric(accelerator="cpu", devices=1), OPTIONS, compiled=False)
    logits, loss = teacher.teach(torch.ones(4, 1), torch.zeros(4, 1), torch.zeros(4), 0.1)
    assert (logits.requires_grad, loss, network.training) == (False, 0.0, False)
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert float(network[1].num_batches_tracked) == 0
