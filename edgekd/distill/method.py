"""What a distillation method is: a spec that plans phases.

A new method is one file like ``hinton.py``, which opens with the paper, its equations and where we differ,
and one line in the union of ``edgekd/spec.py``.
"""

from abc import ABC, abstractmethod

from edgekd.core.spec_base import Spec
from edgekd.tasks.classification import TaskSpec
from edgekd.train.phase import Phase


class DistillMethod(Spec, ABC):
    """A method as a pipeline file names it."""

    kind: str

    @abstractmethod
    def phases(self, task: TaskSpec) -> tuple[Phase, ...]:
        """Return the phases in order; none means that calibration is the result."""

    def needs_teacher(self, task: TaskSpec) -> bool:
        """Whether any phase reads a teacher's logits."""
        return any(phase.loss.needs_teacher for phase in self.phases(task))
