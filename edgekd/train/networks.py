"""What a run carries from phase to phase, and therefore in its checkpoints."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from edgekd.train.checkpoint import load_module, module_tensors
from edgekd.train.ema import weight_average
from edgekd.train.options import TrainSpec
from edgekd.train.oscillation import OscillationFreezer
from edgekd.train.phase import Phase


class Networks:
    """The student, a teacher that learns in some phase, and what watches the student's weights.

    Attributes:
        student: The network that learns.
        teacher: The teacher if a phase trains it; None if it is frozen or there is none.
    """

    def __init__(
        self, student: nn.Module, teacher: nn.Module | None, phases: Sequence[Phase], options: TrainSpec
    ) -> None:
        self.student = student
        self.teacher = teacher if any(phase.teacher is not None for phase in phases) else None
        self._average = weight_average(student, options.ema) if options.ema is not None else None
        self._freezer = OscillationFreezer(student, options.freezing) if options.freezing else None

    @property
    def kept(self) -> nn.Module:
        """The student as it would be kept now."""
        return self.student if self._average is None else self._average.module

    def to(self, device: torch.device) -> None:
        """Move all of it."""
        for module in self._modules().values():
            module.to(device)

    def after_step(self, done: float) -> None:
        """Follow the student's weights after a step; ``done`` of the schedule, 0..1, is behind it."""
        if self._freezer is not None:
            self._freezer.step(done)
        if self._average is not None:
            self._average.update_parameters(self.student)

    def finish(self) -> None:
        """Leave everything on the CPU in eval mode: the student as it is kept, the teacher frozen."""
        if self._average is not None:
            self.student.load_state_dict(self._average.module.state_dict())
        self.student.cpu().eval()
        if self.teacher is not None:
            self.teacher.cpu().eval().requires_grad_(False)

    def tensors(self) -> dict[str, Tensor]:
        """Return the state for a checkpoint."""
        return {
            key: value
            for name, module in self._modules().items()
            for key, value in module_tensors(name, module).items()
        }

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back what :meth:`tensors` took; nothing if there is nothing."""
        for name, module in self._modules().items():
            load_module(name, module, tensors)

    def _modules(self) -> dict[str, nn.Module]:
        modules = {
            "student": self.student,
            "teacher": self.teacher,
            "average": self._average,
            "freezer": self._freezer,
        }
        return {name: module for name, module in modules.items() if module is not None}
