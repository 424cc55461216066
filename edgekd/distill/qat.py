"""Quantization-aware training: fake quantization while the labels alone are learned, without a teacher.

Paper: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
Inference", CVPR 2018, arXiv:1712.05877, sec. 3. The loss is the task's own.

Where we differ: BatchNorm is not folded while training (its gain goes into the scales when the student is
lowered), and the grids are those of the quantizers in the ``quantize`` section.
"""

from typing import Literal

from edgekd.core.schedule import Schedule
from edgekd.distill.method import DistillMethod
from edgekd.tasks.classification import TaskSpec
from edgekd.train.label_loss import LabelLoss
from edgekd.train.phase import Phase


class QatSpec(DistillMethod):
    """Labels alone, no teacher; for any task.

    Attributes:
        schedule: Training with fake quantization.
    """

    kind: Literal["qat"] = "qat"
    schedule: Schedule

    def phases(self, task: TaskSpec) -> tuple[Phase, ...]:
        """Return the one phase."""
        return (Phase("train quantized", self.schedule, LabelLoss(task)),)
