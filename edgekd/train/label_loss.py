"""Training on the labels alone: how teachers, and students without one, are trained."""

from torch import Tensor

from edgekd.tasks.classification import TaskSpec
from edgekd.tasks.loss import task_loss
from edgekd.train.phase import KdLoss


class LabelLoss(KdLoss):
    """The task's own loss."""

    needs_teacher = False

    def __init__(self, task: TaskSpec) -> None:
        super().__init__()
        self.task = task

    def forward(self, logits_s: Tensor, logits_t: Tensor | None, y: Tensor) -> Tensor:
        """Return the loss of one batch."""
        return task_loss(self.task, logits_s, y)
