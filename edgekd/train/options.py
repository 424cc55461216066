"""The ``training`` section of a pipeline file: what all training of a run has in common."""

from typing import Literal

from pydantic import Field

from edgekd.core.spec_base import Spec
from edgekd.data.augment import AugmentSpec


class TrainSpec(Spec):
    """SGD with Nesterov momentum.

    Attributes:
        batch_size: Images per step.
        momentum: Of SGD.
        weight_decay: On weights only; not on biases, BatchNorm or quantizer scales.
        precision: ``bf16`` computes convolutions and products in bfloat16; quantizers stay in float32.
        compile: ``auto`` compiles a phase when its planned steps pay for it.
        augment: How images are varied.
    """

    batch_size: int = Field(default=128, ge=2)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    precision: Literal["float32", "bf16"] = "float32"
    compile: Literal["auto", "always", "never"] = "auto"
    augment: AugmentSpec = AugmentSpec()
