"""Min-max: the grid always ends at the largest magnitude there is.

Paper: Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference", CVPR 2018, arXiv:1712.05877, sec. 3.1: ranges of weights are their extremes at every step,
    those of activations an exponential moving average of the extremes of the batches.

    scale = max|w| / qmax for each output channel, at every step;  gradient: 1, nothing is ever clipped
    activations: scale <- 0.99 scale + 0.01 (largest number of the batch / qmax) while training; 1 inside, 0
        outside

Where we differ: symmetric, so that 0 is on the grid and needs no zero point of weights. Activations start
where calibration puts them, whatever its method, and do not fall below a quarter of that; the average is
over about 100 batches.
"""

from typing import Literal

import torch
from torch import Tensor

from edgekd.core.grid import IntGrid
from edgekd.quant.calibrated import CalibratedQuantizer
from edgekd.quant.quantizer import Quantizer, QuantizerSpec, ShapedQuantizer, magnitudes

MOMENTUM = 0.99


class MinMaxWeightQuantizer(ShapedQuantizer):
    """Weights up to the largest of their channel."""

    def register_scale(self, one: Tensor) -> None:
        """Keep nothing: each weight says its scale."""

    def set_scale(self, scale: Tensor) -> None:
        """Keep nothing."""

    def training_scale(self, x: Tensor) -> Tensor:
        """Return the scale by which the largest magnitude is the highest code."""
        return magnitudes(x, self.axis).amax(-1) / self.grid.qmax

    def shape(self, x: Tensor, scale: Tensor) -> Tensor:
        """Clip nothing."""
        return x


class MinMaxActivationQuantizer(CalibratedQuantizer):
    """Activations up to a moving average of their extremes."""

    def training_scale(self, x: Tensor) -> Tensor:
        """Return the scale, in train mode after it has seen ``x``."""
        if self.training:
            with torch.no_grad():
                extreme = x.amax() / self.grid.qmax
                if self.grid.qmin:
                    extreme = torch.maximum(extreme, x.amin() / self.grid.qmin)
                self.scale.lerp_(extreme, 1 - MOMENTUM)
        return self.scale


class MinMaxSpec(QuantizerSpec):
    """The range is that of the tensor itself; of activations, a moving average."""

    kind: Literal["minmax"] = "minmax"

    def build(self, grid: IntGrid, *, axis: int | None, mark: str, channels: int = 1) -> Quantizer:
        """Return the quantizer of weights (with axis) or of activations (without)."""
        kind = MinMaxActivationQuantizer if axis is None else MinMaxWeightQuantizer
        return kind(grid, axis=axis, mark=mark, channels=channels)
