"""What a student copies of a teacher's logits: the term that the methods share, and the loss built on it."""

from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from edgekd.core.schedule import Schedule
from edgekd.distill.method import DistillMethod
from edgekd.tasks.classification import TaskSpec
from edgekd.tasks.loss import task_loss
from edgekd.train.phase import KdLoss

Imitation = Literal["hinton", "logit_matching"]
"""``hinton``: softened probabilities (`soft_divergence`); ``logit_matching``: `logit_distance`."""


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


def logit_distance(logits_s: Tensor, logits_t: Tensor) -> Tensor:
    """Return ``1/2 * |z_s - z_t|**2``, summed over classes and averaged over the batch, shape ().

    Args:
        logits_s: (batch, classes).
        logits_t: (batch, classes).
    """
    return 0.5 * (logits_s - logits_t).square().sum(1).mean()


class ImitationLoss(KdLoss):
    """``labels * task loss + imitation * what is copied``."""

    needs_teacher = True

    def __init__(
        self, task: TaskSpec, copied: Callable[[Tensor, Tensor], Tensor], *, labels: float, imitation: float
    ) -> None:
        super().__init__()
        self.task, self.copied = task, copied
        self.labels, self.imitation = labels, imitation

    def forward(self, logits_s: Tensor, logits_t: Tensor | None, y: Tensor) -> Tensor:
        """Return the loss of one batch."""
        assert logits_t is not None
        loss = self.imitation * self.copied(logits_s, logits_t)
        return loss + self.labels * task_loss(self.task, logits_s, y) if self.labels else loss


def imitation_loss(
    task: TaskSpec, kind: Imitation, *, temperature: float, labels: float, imitation: float
) -> ImitationLoss:
    """Return the loss of a kind of imitation.

    Args:
        task: What labels mean.
        kind: What is copied.
        temperature: T of ``hinton``; ``logit_matching`` has none.
        labels: Weight of the labels.
        imitation: Weight of the teacher's word.
    """

    def copied(logits_s: Tensor, logits_t: Tensor) -> Tensor:
        if kind == "logit_matching":
            return logit_distance(logits_s, logits_t)
        return soft_divergence(logits_s, logits_t, temperature=temperature)

    return ImitationLoss(task, copied, labels=labels, imitation=imitation)


class ImitatingMethod(DistillMethod):
    """A method whose student weighs a teacher's word against the labels'.

    Attributes:
        temperature: T of ``imitation: hinton``.
        alpha: Weight of the teacher's word, 0..1; the labels have the rest.
        imitation: What is copied of the teacher.
        schedule: Of all its phases.
    """

    temperature: float = Field(default=2.0, gt=0)
    alpha: float = Field(default=0.7, ge=0, le=1)
    imitation: Imitation = "hinton"
    schedule: Schedule

    @property
    def heard_at(self) -> float | None:
        """T, unless logits are copied."""
        return self.temperature if self.imitation == "hinton" else None

    def loss(self, task: TaskSpec) -> ImitationLoss:
        """Return ``alpha * what is copied + (1 - alpha) * task loss``.

        Raises:
            SpecError: If the task has no classes.
        """
        self.check_has_classes(task)
        return imitation_loss(
            task, self.imitation, temperature=self.temperature, labels=1 - self.alpha, imitation=self.alpha
        )
