"""Hinton distillation: the student learns the teacher's softened probabilities beside the labels.

Paper: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531.

    p = softmax(z / T)                                                   (eq. 1)
    L = a * T**2 * KL(p_t || p_s) + (1 - a) * CE(y, softmax(z_s))        (sec. 2)

T**2 keeps the size of the soft term's gradients when T changes.

Where we differ: the student is fake-quantized while it learns, from a float student whose grids were
calibrated; the KL term is averaged over the batch only, never over the classes.
"""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from edgekd.core.schedule import Schedule
from edgekd.distill.method import DistillMethod
from edgekd.errors import SpecError
from edgekd.tasks.classification import ClassificationSpec, TaskSpec
from edgekd.tasks.loss import task_loss
from edgekd.train.phase import KdLoss, Phase


def soft_divergence(logits_s: Tensor, logits_t: Tensor, *, temperature: float) -> Tensor:
    """Return ``T**2 * KL(softmax(z_t / T) || softmax(z_s / T))``, averaged over the batch, shape ().

    Args:
        logits_s: (batch, classes).
        logits_t: (batch, classes).
        temperature: T > 0.
    """
    log_p_s = F.log_softmax(logits_s / temperature, dim=1)
    log_p_t = F.log_softmax(logits_t / temperature, dim=1)
    return F.kl_div(log_p_s, log_p_t, reduction="batchmean", log_target=True) * temperature**2


class HintonLoss(KdLoss):
    """``a * T**2 * KL + (1 - a) * task loss``."""

    needs_teacher = True

    def __init__(self, task: TaskSpec, *, temperature: float, alpha: float) -> None:
        super().__init__()
        self.task = task
        self.temperature = temperature
        self.alpha = alpha

    def forward(self, logits_s: Tensor, logits_t: Tensor | None, y: Tensor) -> Tensor:
        """Return the loss of one batch."""
        assert logits_t is not None
        soft = soft_divergence(logits_s, logits_t, temperature=self.temperature)
        return self.alpha * soft + (1 - self.alpha) * task_loss(self.task, logits_s, y)


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

    def phases(self, task: TaskSpec) -> tuple[Phase, ...]:
        """Return the one phase.

        Raises:
            SpecError: If the task has no classes whose probabilities could be softened.
        """
        if not isinstance(task, ClassificationSpec):
            what = f"hinton softens the probabilities of classes, which task {task.kind!r} does not have"
            raise SpecError(what, where="distill.kind", fix="use distill: {kind: none}")
        loss = HintonLoss(task, temperature=self.temperature, alpha=self.alpha)
        return (Phase("distil", self.schedule, loss),)
