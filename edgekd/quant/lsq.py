"""LSQ: the step size is learned with the weights.

Paper: Esser, McKinstry, Bablani, Appuswamy, Modha, "Learned Step Size Quantization", ICLR 2020,
    arXiv:1902.08153.

    v_bar = round(clip(v / s, -Qn, Qp)),  v_hat = s * v_bar                                       (eq. 1, 2)
    d v_hat / d s = round(v/s) - v/s inside, -Qn or Qp outside                                    (eq. 3)
    the gradient of s is multiplied by g = 1 / sqrt(N * Qp), N = number of weights, or of features  (sec. 2.2)

Where we differ: weights have one step per output channel (N counts one channel) and a narrow range; the start
comes from calibration instead of ``2 * mean(abs(v)) / sqrt(Qp)``; N of an activation counts one sample's
features; no step becomes smaller than a quarter of its start (:attr:`Quantizer.smallest_scale`).
"""

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from edgekd.core.grid import IntGrid
from edgekd.quant.quantizer import Quantizer, QuantizerSpec


class LsqQuantizer(Quantizer):
    """A quantizer whose scale is a parameter.

    Attributes:
        scale: Units per code, float32, shape () or (channels,).
    """

    def register_scale(self, one: Tensor) -> None:
        """Make the scale a parameter."""
        self.scale = nn.Parameter(one)

    @torch.no_grad()
    def set_scale(self, scale: Tensor) -> None:
        """Start from ``scale``."""
        self.scale.copy_(self.allow(scale))

    def training_scale(self, x: Tensor) -> Tensor:
        """Return the scale; its gradient is damped by ``1 / sqrt(N * Qp)``."""
        if not self.training:
            return self.scale
        count = x[0].numel() if x.dim() else 1  # weights: one output channel; activations: one sample
        damping = 1.0 / math.sqrt(count * self.grid.qmax)
        value = self.scale.detach()
        return value + damping * (self.scale - value)  # exactly the scale: what is added is 0


class LsqSpec(QuantizerSpec):
    """Learned step size."""

    freezable: ClassVar[bool] = True

    kind: Literal["lsq"] = "lsq"

    def build(self, grid: IntGrid, *, axis: int | None, mark: str, channels: int = 1) -> Quantizer:
        """Return an LSQ quantizer."""
        return LsqQuantizer(grid, axis=axis, mark=mark, channels=channels)
