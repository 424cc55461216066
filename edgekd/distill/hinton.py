"""Hinton distillation: the student learns the teacher's softened probabilities beside the labels.

Paper: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531.

    p = softmax(z / T)                                                   (eq. 1)
    L = a * T**2 * KL(p_t || p_s) + (1 - a) * CE(y, softmax(z_s))        (sec. 2)

T**2 keeps the size of the soft term's gradients when T changes.

Where we differ: the student is fake-quantized while it learns, from a float student whose grids were
calibrated; the KL term is averaged over the batch only, never over the classes.
"""

from typing import Literal

from pydantic import Field

from edgekd.core.schedule import Schedule
from edgekd.distill.imitation import imitation_loss
from edgekd.distill.method import DistillMethod
from edgekd.tasks.classification import TaskSpec
from edgekd.train.phase import Phase


class HintonSpec(DistillMethod):
    """Frozen teacher, softened logits.

    Attributes:
        temperature: T; small students want a low one.
        alpha: Weight of the teacher's word against the labels', 0..1.
        schedule: Training with fake quantization.
    """

    kind: Literal["hinton"] = "hinton"
    temperature: float = Field(default=4.0, gt=0)
    alpha: float = Field(default=0.9, ge=0, le=1)
    schedule: Schedule

    @property
    def heard_at(self) -> float:
        """T."""
        return self.temperature

    def phases(self, task: TaskSpec) -> tuple[Phase, ...]:
        """Return the one phase.

        Raises:
            SpecError: If the task has no classes.
        """
        self.check_has_classes(task)
        loss = imitation_loss(
            task, "hinton", temperature=self.temperature, labels=1 - self.alpha, imitation=self.alpha
        )
        return (Phase("distil", self.schedule, loss),)
