"""WRPN: a fixed range, cut into equal steps.

Paper: Mishra, Nurvitadhi, Cook, Marr, "WRPN: Wide Reduced-Precision Networks", ICLR 2018, arXiv:1709.01134.

    activations: round((2**k - 1) clip(x, 0, 1)) / (2**k - 1)                                     (sec. 3)
    weights:     round((2**(k-1) - 1) clip(w, -1, 1)) / (2**(k-1) - 1)
    gradients:   1 inside the range, 0 outside

Where we differ: the range of 1 is counted in a unit. A quantizer that was never calibrated has the paper's,
1. Calibration sets it so that the given float network fits: for weights the largest magnitude of each output
channel, for activations what the calibration method finds. That is the paper's quantizer in a network whose
channels were rescaled to -1..1 and back by the BatchNorm behind them, without touching either. The other half
of the paper, twice as many filters, is a matter of the student's width. Signed activations have codes on
both sides of 0, of which the lowest is one step below -1.
"""

from typing import ClassVar, Literal

from torch import Tensor

from edgekd.core.grid import IntGrid
from edgekd.quant.calibrated import CalibratedQuantizer
from edgekd.quant.quantizer import Quantizer, QuantizerSpec, magnitudes


class WrpnQuantizer(CalibratedQuantizer):
    """A quantizer with a fixed range of ``qmax * scale``: 1 as long as it is not calibrated."""

    def register_scale(self, one: Tensor) -> None:
        """Make the scale a buffer that starts with the paper's range."""
        super().register_scale(one / self.grid.qmax)

    def start(self, weight: Tensor, scale: Tensor) -> None:
        """Start with each channel's largest magnitude as the end of its range."""
        self.set_scale(magnitudes(weight, self.axis).amax(-1) / self.grid.qmax)


class WrpnSpec(QuantizerSpec):
    """Fixed range: -1..1 for weights, 0..1 for activations, in units of what calibration found."""

    freezable: ClassVar[bool] = True

    kind: Literal["wrpn"] = "wrpn"

    def build(self, grid: IntGrid, *, axis: int | None, mark: str, channels: int = 1) -> Quantizer:
        """Return a quantizer with a fixed range."""
        return WrpnQuantizer(grid, axis=axis, mark=mark, channels=channels)
