"""A distillation method is a tuple of phases; a phase is what stays the same while training runs."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from edgekd.core.schedule import Schedule


class KdLoss(nn.Module, ABC):
    """What a student is trained to minimise.

    Attributes:
        needs_teacher: Whether :meth:`forward` reads the teacher's logits.
    """

    needs_teacher: bool

    @abstractmethod
    def forward(self, logits_s: Tensor, logits_t: Tensor | None, y: Tensor) -> Tensor:
        """Return the loss of one batch, shape ().

        Args:
            logits_s: The student's logits (batch, classes), with gradient.
            logits_t: The teacher's logits (batch, classes), without gradient; None if not needed.
            y: Labels (batch,).
        """


@dataclass(frozen=True)
class Phase:
    """One phase.

    Attributes:
        name: Shown in progress, history and plots.
        schedule: Epochs and peak learning rate.
        loss: What is minimised.
    """

    name: str
    schedule: Schedule
    loss: KdLoss
