"""Quantized distillation: gradients are taken at quantized weights and applied to float ones.

Paper: Polino, Pascanu, Alistarh, "Model Compression via Distillation and Quantization", ICLR 2018,
arXiv:1802.05668, algorithm 1. Every step quantizes the float weights, runs forward and backward with the
quantized ones, and updates the float ones; at the end the quantized weights are kept.

    L = 0.7 * T**2 * KL(p_t^T || p_s^T) + 0.3 * CE(y, p_s),  T = 2        (values of the authors' code)

Where we differ: with ``weights: {kind: minmax}`` the quantizer is the deployable form of the paper's, whose
scale also follows the weights in every step: symmetric, one scale per output channel, 0 on the grid. The
paper's buckets of consecutive weights with an offset run on no integer kernel. KL is averaged over the batch;
the authors' code averages over the classes, too. Activations are quantized, biases and BatchNorm are not.
"""

from typing import Literal

from edgekd.distill.imitation import ImitatingMethod
from edgekd.tasks.classification import TaskSpec
from edgekd.train.phase import Phase


class QuantizedDistillationSpec(ImitatingMethod):
    """Frozen teacher, gradients at the quantized weights; meant for ``weights: {kind: minmax}``."""

    kind: Literal["quantized_distillation"] = "quantized_distillation"

    def phases(self, task: TaskSpec) -> tuple[Phase, ...]:
        """Return the one phase.

        Raises:
            SpecError: If the task has no classes.
        """
        return (Phase("quantized distillation", self.schedule, self.loss(task)),)
