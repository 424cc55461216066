"""A scale that stays what calibration found: post-training quantization, and training against fixed grids."""

from typing import Literal

from torch import Tensor

from edgekd.core.grid import IntGrid
from edgekd.quant.quantizer import Quantizer, QuantizerSpec


class CalibratedQuantizer(Quantizer):
    """A quantizer whose scale is a buffer."""

    def register_scale(self, scale: Tensor) -> None:
        """Make the scale a buffer: saved with the weights, not trained."""
        self.register_buffer("scale", scale)

    def training_scale(self, x: Tensor) -> Tensor:
        """Return the scale that calibration set."""
        return self.scale


class CalibratedSpec(QuantizerSpec):
    """Fixed scale from calibration."""

    kind: Literal["calibrated"] = "calibrated"

    def build(self, grid: IntGrid, *, axis: int | None, mark: str, channels: int = 1) -> Quantizer:
        """Return a quantizer with a fixed scale."""
        return CalibratedQuantizer(grid, axis=axis, mark=mark, channels=channels)
