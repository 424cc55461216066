"""What a distillation method is: a spec that plans phases.

A new method is one file like ``hinton.py``, which opens with the paper, its equations and where we differ,
and one line in the union of ``edgekd/unions.py``.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from edgekd.core.spec_base import Spec
from edgekd.errors import SpecError
from edgekd.tasks.classification import ClassificationSpec, TaskSpec
from edgekd.train.phase import Phase

Start = Literal["given", "random"]
"""Where a network starts: from what earlier stages made of it, or from random weights."""


class DistillMethod(Spec, ABC):
    """A method as a pipeline file names it.

    Attributes:
        kind: The word in the pipeline file.
        trains_weights: Kinds of weight quantizers that it can train; empty: all.
    """

    kind: str
    trains_weights: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def phases(self, task: TaskSpec) -> tuple[Phase, ...]:
        """Return the phases in order; none means that calibration is the result."""

    @property
    def student_start(self) -> Start:
        """``given``: the calibrated float student."""
        return "given"

    @property
    def teacher_start(self) -> Start:
        """``given``: the weights of the teacher section."""
        return "given"

    @property
    def heard_at(self) -> float | None:
        """Temperature of the softened probabilities that it copies; None: it copies logits as they are.

        Several teachers are averaged in what is copied.
        """
        return None

    def needs_teacher(self, task: TaskSpec) -> bool:
        """Whether any phase reads a teacher's logits."""
        return any(phase.needs_teacher for phase in self.phases(task))

    def trains_teacher(self, task: TaskSpec) -> bool:
        """Whether the teacher learns in any phase."""
        return any(phase.teacher is not None for phase in self.phases(task))

    def unfit_teacher(self, task: TaskSpec, *, assisted: bool, several: bool, frozen: bool) -> str:
        """Say why it cannot train a teacher, if it trains one, and what to do; empty if it can.

        Args:
            task: What labels mean.
            assisted: Whether an assistant stands between: then that one learns.
            several: Whether several are heard as one.
            frozen: Whether nothing in its file can be trained.
        """
        trains = f"distill.kind {self.kind!r} trains the teacher"
        fixed = "a form of the method that leaves it fixed"
        if not self.trains_teacher(task):
            return ""
        if assisted and self.teacher_start == "random":
            return f"{trains} from random weights, assistants are in vain: remove them, or choose {fixed}"
        if several and not assisted:
            return f"{trains}, but several are frozen: remove teacher.others, or choose {fixed}"
        if frozen and not assisted:
            return f"{trains}, but an ONNX file is frozen: give one of another kind, or {fixed}"
        return ""

    def check_has_classes(self, task: TaskSpec) -> None:
        """Refuse a task without classes, whose logits could be imitated.

        Raises:
            SpecError: If it is one.
        """
        if not isinstance(task, ClassificationSpec):
            what = (
                f"{self.kind} imitates the probabilities of classes, which task {task.kind!r} does not have"
            )
            raise SpecError(
                what,
                where="distill.kind",
                fix="use distill: {kind: qat} or {kind: none}, which need no teacher",
            )
