"""The ``training`` section of a pipeline file: what all training of a run has in common."""

from typing import Literal

from pydantic import Field

from edgekd.core.spec_base import Spec
from edgekd.data.augment import AugmentSpec


class FreezingSpec(Spec):
    """When a weight that oscillates between two codes is frozen; see ``edgekd/train/oscillation.py``.

    Attributes:
        momentum: Of the averages over steps, of flips and of codes.
        begin: Threshold of the flip frequency at the start of a schedule, in flips per step, and
        end: at its end; in between it falls as a cosine.
    """

    momentum: float = Field(default=0.01, gt=0, le=1)
    begin: float = Field(default=0.04, gt=0, le=1)
    end: float = Field(default=0.01, gt=0, le=1)


class TrainSpec(Spec):
    """SGD with Nesterov momentum.

    Attributes:
        batch_size: Images per step.
        momentum: Of SGD.
        weight_decay: On weights only; not on biases, BatchNorm or what quantizers own.
        scale_rate: Learning rate of what quantizers own (scales, code-book points), as a fraction of the
            weights'. LSQ damps the gradient of its scales by itself.
        ema: Decay per step of an average over the weights, which is then what is kept; none by default.
        freezing: Freezes weights that oscillate between two codes, which depthwise networks need; off by
            default.
        precision: ``bf16`` computes convolutions and products of networks that are not quantized, teachers
            above all, in bfloat16; what is quantized stays in float32, on its grid.
        compile: ``auto`` compiles the phases of a run when its planned steps pay for it.
        augment: How images are varied.
    """

    batch_size: int = Field(default=128, ge=2)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=5e-4, ge=0)
    scale_rate: float = Field(default=1.0, ge=0)
    ema: float | None = Field(default=None, gt=0, lt=1)
    freezing: FreezingSpec | None = None
    precision: Literal["float32", "bf16"] = "float32"
    compile: Literal["auto", "always", "never"] = "auto"
    augment: AugmentSpec = AugmentSpec()
