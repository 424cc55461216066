"""Differentiable quantization: the code-book points learn, the weights stay.

Paper: Polino, Pascanu, Alistarh, "Model Compression via Distillation and Quantization", ICLR 2018,
arXiv:1802.05668, algorithm 2. With p the points of a layer and Q(v, p) the point nearest to v,

    dL/dp_j = sum over the weights i assigned to p_j of alpha_i * dL/dQ_i        (sec. 4)
    L = 0.7 * T**2 * KL(p_t^T || p_s^T) + 0.3 * CE(y, p_s),  T = 2

Weights, biases, BatchNorm's gains and activation scales are fixed; BatchNorm's statistics follow. What a
point is, where it starts and its gradient are the quantizer's, ``edgekd/quant/codebook.py``.

Where we differ: the teacher is that of the pipeline, not the float student; KL is averaged over the batch
only; the learning rate is warmed up and falls as a cosine.
"""

from typing import ClassVar, Literal

from pydantic import Field

from edgekd.core.schedule import Schedule
from edgekd.distill.imitation import Imitation, imitation_loss
from edgekd.distill.method import DistillMethod
from edgekd.tasks.classification import TaskSpec
from edgekd.train.phase import Phase


class DifferentiableSpec(DistillMethod):
    """Frozen teacher, only code-book points learn; needs ``weights: {kind: codebook}``.

    Attributes:
        temperature: T.
        alpha: Weight of the teacher's word against the labels', 0..1.
        imitation: What is copied of the teacher.
        schedule: Training of the points.
    """

    weight_quantizers: ClassVar[tuple[str, ...]] = ("codebook",)

    kind: Literal["differentiable"] = "differentiable"
    temperature: float = Field(default=2.0, gt=0)
    alpha: float = Field(default=0.7, ge=0, le=1)
    imitation: Imitation = "hinton"
    schedule: Schedule

    def phases(self, task: TaskSpec) -> tuple[Phase, ...]:
        """Return the one phase.

        Raises:
            SpecError: If the task has no classes.
        """
        self.check_has_classes(task)
        loss = imitation_loss(
            task,
            self.imitation,
            temperature=self.temperature,
            labels=1 - self.alpha,
            imitation=self.alpha,
        )
        return (Phase("learn points", self.schedule, loss, trains="points"),)
