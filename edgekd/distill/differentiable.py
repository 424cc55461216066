"""Differentiable quantization: the code-book points learn, the weights stay.

Paper: Polino, Pascanu, Alistarh, "Model Compression via Distillation and Quantization", ICLR 2018,
arXiv:1802.05668, algorithm 2. With p the points of a layer and Q(v, p) the point nearest to v,

    dL/dp_j = sum over the weights i assigned to p_j of alpha_i * dL/dQ_i        (sec. 4)
    L = 0.7 * T**2 * KL(p_t^T || p_s^T) + 0.3 * CE(y, p_s),  T = 2

Weights, biases, BatchNorm's gains and trained activation scales are fixed; what follows the data by itself,
BatchNorm's statistics and the activation ranges of kind minmax, goes on following them. What a
point is, where it starts and its gradient are the quantizer's, ``edgekd/quant/codebook.py``.

Where we differ: the teacher is that of the pipeline, not the float student; KL is averaged over the batch
only; the learning rate is warmed up and falls as a cosine.
"""

from typing import ClassVar, Literal

from edgekd.distill.imitation import ImitatingMethod
from edgekd.tasks.classification import TaskSpec
from edgekd.train.phase import Phase


class DifferentiableSpec(ImitatingMethod):
    """Frozen teacher, only code-book points learn; needs ``weights: {kind: codebook}``."""

    trains_weights: ClassVar[tuple[str, ...]] = ("codebook",)

    kind: Literal["differentiable"] = "differentiable"

    def phases(self, task: TaskSpec) -> tuple[Phase, ...]:
        """Return the one phase.

        Raises:
            SpecError: If the task has no classes.
        """
        return (Phase("learn points", self.schedule, self.loss(task), trains="points"),)
