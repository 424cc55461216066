"""No distillation: post-training quantization of a float student, given or trained on the labels alone."""

from typing import Literal

from edgekd.distill.method import DistillMethod
from edgekd.tasks.classification import TaskSpec
from edgekd.train.label_loss import LabelLoss
from edgekd.train.phase import Phase, PhaseSpec


class NoneSpec(DistillMethod):
    """Calibrate, do not train with quantizers.

    Attributes:
        float_phase: Training of the float student on the labels; leave it out if weights are given.
    """

    kind: Literal["none"] = "none"
    float_phase: PhaseSpec | None = None

    def phases(self, task: TaskSpec) -> tuple[Phase, ...]:
        """Return the float phase, if there is one."""
        if self.float_phase is None:
            return ()
        return (Phase("train float student", self.float_phase, quantized=False, loss=LabelLoss(task)),)
