"""Apprentice: a low-precision student of the same kind learns from a float teacher at T = 1.

Paper: Mishra & Marr, "Apprentice: Using Knowledge Distillation Techniques to Improve Low-Precision Network
Accuracy", ICLR 2018, arXiv:1711.05852.

    L = alpha * H(y, p_t) + beta * H(y, p_a) + gamma * H(softmax(z_t), p_a)        (eq. 1)
    alpha, beta, gamma = 1, 0.5, 0.5; T = 1

    A  both from random weights, together; the alpha term trains the teacher
    B  trained, frozen teacher; student from random weights, low precision from step 0
    C  trained, frozen teacher; student from trained float weights, then low precision

Where we differ: the imitation term is KL(p_t || p_a), which has H's gradient in the student and is 0 for
equal networks; in A it does not reach the teacher unless ``teacher_imitates``; weights have the quantizers of
the ``quantize`` section, and in A and B their scales are calibrated on the random network, once its
BatchNorms know their statistics.
"""

from typing import Literal, Self

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from edgekd.core.schedule import Schedule
from edgekd.distill.imitation import Imitation, imitation_loss
from edgekd.distill.method import DistillMethod, Start
from edgekd.tasks.classification import TaskSpec
from edgekd.tasks.loss import task_loss
from edgekd.train.phase import KdLoss, Phase, TeacherLearning


class ApprenticeTeacherLoss(KdLoss):
    """``alpha * H(y, p_t) + gamma * H(p_t, p_a)``, as the teacher sees it: p_a is constant."""

    needs_teacher = True

    def __init__(self, task: TaskSpec, *, alpha: float, gamma: float) -> None:
        super().__init__()
        self.task, self.alpha, self.gamma = task, alpha, gamma

    def forward(self, logits_s: Tensor, logits_t: Tensor | None, y: Tensor) -> Tensor:
        """Return the loss of one batch; the one who learns here is the teacher."""
        assert logits_t is not None
        cross_entropy = -(F.softmax(logits_s, dim=1) * F.log_softmax(logits_t, dim=1)).sum(1).mean()
        return self.alpha * task_loss(self.task, logits_s, y) + self.gamma * cross_entropy


class ApprenticeSpec(DistillMethod):
    """Schemes A (joint), B (frozen teacher, random start), C (frozen teacher, float start).

    Attributes:
        scheme: Which of the three.
        alpha: Weight of the teacher's labels, in A.
        beta: Weight of the student's labels.
        gamma: Weight of imitation.
        imitation: What is copied of the teacher.
        teacher_imitates: In A, whether the imitation term, then ``hinton``, trains the teacher, too.
        schedule: Training with fake quantization; in A of the teacher, too.
    """

    kind: Literal["apprentice"] = "apprentice"
    scheme: Literal["A", "B", "C"] = "C"
    alpha: float = Field(default=1.0, gt=0)
    beta: float = Field(default=0.5, ge=0)
    gamma: float = Field(default=0.5, gt=0)
    imitation: Imitation = "hinton"
    teacher_imitates: bool = False
    schedule: Schedule

    @model_validator(mode="after")
    def _has_a_teacher_that_learns(self) -> Self:
        if self.teacher_imitates and self.scheme != "A":
            msg = (
                f"the teacher of scheme {self.scheme} is frozen: leave out teacher_imitates, or use scheme A"
            )
            raise ValueError(msg)
        if self.teacher_imitates and self.imitation != "hinton":
            msg = f"a teacher cannot imitate by {self.imitation}: leave out teacher_imitates, or imitation"
            raise ValueError(msg)
        return self

    @property
    def student_start(self) -> Start:
        """Random in A and B."""
        return "given" if self.scheme == "C" else "random"

    @property
    def teacher_start(self) -> Start:
        """Random in A."""
        return "random" if self.scheme == "A" else "given"

    @property
    def heard_at(self) -> float | None:
        """1, unless logits are copied."""
        return 1.0 if self.imitation == "hinton" else None

    def phases(self, task: TaskSpec) -> tuple[Phase, ...]:
        """Return the one phase.

        Raises:
            SpecError: If the task has no classes.
        """
        self.check_has_classes(task)
        loss = imitation_loss(task, self.imitation, temperature=1.0, labels=self.beta, imitation=self.gamma)
        teacher = None
        if self.scheme == "A":
            gamma = self.gamma if self.teacher_imitates else 0.0
            teacher_loss = ApprenticeTeacherLoss(task, alpha=self.alpha, gamma=gamma)
            teacher = TeacherLearning(teacher_loss, rate=1.0, update="simultaneous")
        return (Phase(f"apprentice {self.scheme}", self.schedule, loss, teacher=teacher),)
