"""A scale that stays what calibration found: post-training quantization, and training against fixed grids."""

from typing import ClassVar, Literal

import torch
from torch import Tensor

from edgekd.core.grid import IntGrid
from edgekd.quant.quantizer import Quantizer, QuantizerSpec


class CalibratedQuantizer(Quantizer):
    """A quantizer whose scale is a buffer.

    Attributes:
        scale: Units per code, float32, shape () or (channels,).
    """

    scale: Tensor

    def register_scale(self, one: Tensor) -> None:
        """Make the scale a buffer: saved with the weights, not trained."""
        self.register_buffer("scale", one)

    @torch.no_grad()
    def set_scale(self, scale: Tensor) -> None:
        """Start from ``scale``."""
        self.scale.copy_(self.allow(scale))

    def training_scale(self, x: Tensor) -> Tensor:
        """Return the scale that calibration set."""
        return self.scale


class CalibratedSpec(QuantizerSpec):
    """Fixed scale from calibration."""

    freezable: ClassVar[bool] = True

    kind: Literal["calibrated"] = "calibrated"

    def build(self, grid: IntGrid, *, axis: int | None, mark: str, channels: int = 1) -> Quantizer:
        """Return a quantizer with a fixed scale."""
        return CalibratedQuantizer(grid, axis=axis, mark=mark, channels=channels)
