"""QKD: the student finds its grid alone, then teacher and student learn from each other, then one teaches.

Paper: Kim, Bhalgat, Lee, Patel, Kwak, "QKD: Quantization-aware Knowledge Distillation", 2019,
arXiv:1911.12491. The phases, with p^T = softmax(z / T):

    self-studying  L_s = H(y, p_s)
    co-studying    L_t = (1 - a) * H(y, p_t) + a * T**2 * KL(p_s^T || p_t^T), the student's part constant
                   L_s = (1 - a) * H(y, p_s) + a * T**2 * KL(p_t^T || p_s^T), the teacher's part constant
    tutoring       L_s as before; the teacher is frozen and in eval mode

Where we differ: the phases share one learning-rate curve, so that runs with and without a phase have the same
rates; momentum starts anew with each phase. The trainable interval is LSQ's step with its gradient scale (the
same function, s = I / qmax).
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from edgekd.distill.imitation import ImitatingMethod
from edgekd.tasks.classification import TaskSpec
from edgekd.train.label_loss import LabelLoss
from edgekd.train.phase import Phase, TeacherLearning


class QkdSpec(ImitatingMethod):
    """Self-studying, co-studying with a teacher that learns, tutoring.

    Attributes:
        alpha: Weight of the other's word against the labels', 0..1, in both directions.
        self_studying: Share of the epochs; 0 leaves the phase out.
        tutoring: Share of the epochs at the end.
        co_studying: Gets the epochs in between. False keeps the teacher fixed: tutoring gets all the rest.
        teacher_rate: The teacher's learning rate while co-studying, as a fraction of the student's. One that
            is too high turns the teacher into the student: the losses of both fall, and there is little left
            to teach.
        update: ``sequential``: the teacher steps first, and is heard again. ``simultaneous`` is cheaper.
    """

    kind: Literal["qkd"] = "qkd"
    alpha: float = Field(default=0.5, ge=0, le=1)
    self_studying: float = Field(default=0.15, ge=0, lt=1)
    tutoring: float = Field(default=0.35, gt=0, lt=1)
    co_studying: bool = True
    teacher_rate: float = Field(default=0.1, gt=0)
    update: Literal["sequential", "simultaneous"] = "sequential"

    @model_validator(mode="after")
    def _has_an_epoch_for_each_phase(self) -> Self:
        if self.co_studying and self.self_studying + self.tutoring >= 1:
            msg = "self_studying and tutoring leave no epochs to co-studying: their sum has to be below 1"
            raise ValueError(msg)
        phases = 1 + (self.self_studying > 0) + self.co_studying
        if self.schedule.epochs < phases:
            msg = f"{self.schedule.epochs} epochs for {phases} phases: give schedule.epochs {phases} or more"
            raise ValueError(msg)
        return self

    def phases(self, task: TaskSpec) -> tuple[Phase, ...]:
        """Return two or three phases, of at least one epoch each.

        Raises:
            SpecError: If the task has no classes.
        """
        loss = self.loss(task)
        teacher = TeacherLearning(loss, rate=self.teacher_rate, update=self.update)
        alone, together, taught = self._parts()
        planned = (
            Phase("self-studying", self.schedule, LabelLoss(task), part=alone),
            Phase("co-studying", self.schedule, loss, part=together, teacher=teacher),
            Phase("tutoring", self.schedule, loss, part=taught),
        )
        return tuple(phase for phase in planned if phase.epochs)

    def _parts(self) -> tuple[range, range, range]:
        """Return the epochs of the phases; shares are rounded to whole epochs, at least 1 where not 0."""
        epochs = self.schedule.epochs
        first = max(1, int(epochs * self.self_studying + 0.5)) if self.self_studying else 0
        if not self.co_studying:
            first = min(first, epochs - 1)
            return range(first), range(0), range(first, epochs)
        first = min(first, epochs - 2)
        last = min(max(first + 1, int(epochs * (1 - self.tutoring) + 0.5)), epochs - 1)
        return range(first), range(first, last), range(last, epochs)
