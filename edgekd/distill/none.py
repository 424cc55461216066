"""No distillation: post-training quantization of the float student is the result."""

from typing import Literal

from edgekd.distill.method import DistillMethod
from edgekd.tasks.classification import TaskSpec
from edgekd.train.phase import Phase


class NoneSpec(DistillMethod):
    """Calibrate, do not train with quantizers."""

    kind: Literal["none"] = "none"

    def phases(self, task: TaskSpec) -> tuple[Phase, ...]:
        """Return no phase."""
        return ()
