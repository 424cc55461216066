"""Logit matching: the student regresses the teacher's logits; labels are not read.

Papers: Bucila, Caruana, Niculescu-Mizil, "Model Compression", KDD 2006; Ba & Caruana, "Do Deep Nets Really
Need to be Deep?", NIPS 2014, arXiv:1312.6184, for the loss:

    L = 1 / (2 N) * sum over the N images of |z_s - z_t|**2              (eq. 1)

Where we differ: the student is fake-quantized while it learns, from a calibrated float student; the images
are the labelled ones, with the augmentation of all training, instead of made-up ones.
"""

from typing import Literal

from edgekd.core.schedule import Schedule
from edgekd.distill.imitation import imitation_loss
from edgekd.distill.method import DistillMethod
from edgekd.tasks.classification import TaskSpec
from edgekd.train.phase import Phase


class LogitMatchingSpec(DistillMethod):
    """Frozen teacher, squared distance of logits, no labels.

    Attributes:
        schedule: Training with fake quantization.
    """

    kind: Literal["logit_matching"] = "logit_matching"
    schedule: Schedule

    def phases(self, task: TaskSpec) -> tuple[Phase, ...]:
        """Return the one phase.

        Raises:
            SpecError: If the task has no classes.
        """
        self.check_has_classes(task)
        loss = imitation_loss(task, "logit_matching", temperature=1.0, labels=0.0, imitation=1.0)
        return (Phase("match logits", self.schedule, loss),)
