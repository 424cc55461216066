"""A distillation method is a tuple of phases; a phase is what stays the same while training runs."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from edgekd.core.schedule import Schedule

Trains = Literal["weights", "points"]
"""What of a network learns: everything, or what its quantizers call ``points``, as code-books do."""


class KdLoss(nn.Module, ABC):
    """What a network is trained to minimise.

    Attributes:
        needs_teacher: Whether :meth:`forward` reads the teacher's logits.
    """

    needs_teacher: bool

    @abstractmethod
    def forward(self, logits_s: Tensor, logits_t: Tensor | None, y: Tensor) -> Tensor:
        """Return the loss of one batch, shape ().

        Args:
            logits_s: Logits of the network that learns (batch, classes), with gradient.
            logits_t: The teacher's logits (batch, classes), without gradient; None if not needed. Where a
                teacher learns from its student, the student's.
            y: Labels (batch,).
        """


@dataclass(frozen=True)
class TeacherLearning:
    """How a teacher learns beside its student, from the same batches.

    Attributes:
        loss: What it minimises; ``logits_s`` are its own logits and ``logits_t`` the student's.
        rate: Its learning rate as a fraction of the student's.
        update: ``sequential``: the teacher takes its step first, and what the student hears is computed again
            with the new weights. ``simultaneous``: both learn from the same outputs.
    """

    loss: KdLoss
    rate: float
    update: Literal["sequential", "simultaneous"]


@dataclass(frozen=True)
class Phase:
    """One phase.

    Attributes:
        name: Shown in progress, history and plots.
        schedule: Epochs and peak learning rate. Phases may share one schedule, each with its part.
        loss: What the student minimises.
        part: Its epochs of the schedule, counted from 0; None if it is all of them.
        teacher: How the teacher learns, too; None: it is frozen and in eval mode.
        trains: What of the student learns.
    """

    name: str
    schedule: Schedule
    loss: KdLoss
    part: range | None = None
    teacher: TeacherLearning | None = None
    trains: Trains = "weights"

    @property
    def epochs(self) -> range:
        """Its epochs of the schedule, counted from 0."""
        return self.part if self.part is not None else range(self.schedule.epochs)

    @property
    def needs_teacher(self) -> bool:
        """Whether it cannot run without a teacher."""
        return self.loss.needs_teacher or self.teacher is not None
