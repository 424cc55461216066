"""DoReFa: weights through a tanh onto a grid of half steps, activations clipped to a fixed range.

Paper: Zhou, Wu, Ni, Zhou, Wen, Zou, "DoReFa-Net", 2016, arXiv:1606.06160.

    quantize_k(a) = round((2**k - 1) a) / (2**k - 1)                                              (eq. 5)
    weights:      2 quantize_k(tanh(w) / (2 max|tanh(w)|) + 1/2) - 1                              (eq. 9)
    activations:  quantize_k(clip(x, 0, 1))                                                       (eq. 11)
    gradients:    straight through quantize_k, by the chain rule through the rest

A weight is an odd number of half steps, ``2 q - (2**k - 1)``: no weight is 0, and 4 bits are the codes -15,
-13 .. 15. Up to 7 bits they are whole int8 codes; 8 bits would need -255..255 and are refused.

Where we differ: the maximum is that of each output channel, and a constant for the gradient. The range of 1
is counted in a unit as in :mod:`edgekd.quant.wrpn`: 1 until calibration, then the largest magnitude of the
channel (activations: what the calibration method finds), so that the largest weights of a given float network
keep their size; the tanh moves the others where a magnitude is near 1 or above, and bends quantized weights
again. The k-bit gradients of the paper's backward pass are left out. Signed activations
are those of :mod:`edgekd.quant.wrpn`, too.
"""

from typing import Literal

import torch
from torch import Tensor

from edgekd.core.grid import IntGrid
from edgekd.quant.quantizer import (
    Quantizer,
    QuantizerSpec,
    ShapedQuantizer,
    Use,
    magnitudes,
    straight_through,
)
from edgekd.quant.wrpn import WrpnQuantizer

_TINY = 1e-12


class DorefaWeightQuantizer(ShapedQuantizer, WrpnQuantizer):
    """Weights as odd codes."""

    def shape(self, x: Tensor, scale: Tensor) -> Tensor:
        """Return the weights as odd numbers of half steps, with the gradient of the tanh."""
        squashed = torch.tanh(x)
        largest = magnitudes(squashed, self.axis).amax(-1).clamp(min=_TINY)
        whole = self.grid.qmax * squashed / self.per_channel(largest, x)  # -qmax..qmax
        odd = 2 * torch.round((whole + self.grid.qmax) / 2) - self.grid.qmax
        return straight_through(odd, whole) * scale.detach()


class DorefaSpec(QuantizerSpec):
    """Weights through a tanh onto odd codes, activations in a fixed range."""

    kind: Literal["dorefa"] = "dorefa"

    @property
    def weight_grid(self) -> IntGrid:
        """Odd codes only, from ``-(2**bits - 1)`` to ``2**bits - 1``."""
        return IntGrid(1 - 2**self.bits, 2**self.bits - 1)

    def misuse(self, use: Use) -> str:
        """8-bit weights would need nine bits."""
        if use == "weights" and self.bits == 8:
            return (
                "dorefa weights of 8 bits are the odd codes -255..255, which int8 does not hold: "
                "set bits to 7 or fewer, or use kind lsq"
            )
        return ""

    def build(self, grid: IntGrid, *, axis: int | None, mark: str, channels: int = 1) -> Quantizer:
        """Return the quantizer of weights (with axis) or of activations (without)."""
        kind = WrpnQuantizer if axis is None else DorefaWeightQuantizer
        return kind(grid, axis=axis, mark=mark, channels=channels)
