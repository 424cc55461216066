"""TWN: ternary weights with the scale that fits them best.

Paper: Li, Zhang, Liu, "Ternary Weight Networks", 2016, arXiv:1605.04711.

    threshold = 0.7 mean|w|;  code = sign(w) where |w| > threshold, else 0                        (eq. 3, 6)
    scale = mean of |w| above the threshold                                                       (eq. 5)
    gradient: that of the ternary weight, straight through

Where we differ: threshold and scale are those of each output channel. Both are recomputed from the weights at
every step, so nothing has to be started from a given float network: the ternary network nearest to it is
where training begins.
"""

from typing import Literal

import torch
from pydantic import Field
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

THRESHOLD = 0.7


class TwnQuantizer(ShapedQuantizer):
    """Weights as -1, 0 or 1 times what their channel needs."""

    def register_scale(self, one: Tensor) -> None:
        """Keep nothing: each weight says its scale."""

    def set_scale(self, scale: Tensor) -> None:
        """Keep nothing."""

    @torch.no_grad()
    def training_scale(self, x: Tensor) -> Tensor:
        """Return the mean magnitude above the threshold."""
        rows = magnitudes(x, self.axis)
        above = (rows > THRESHOLD * rows.mean(-1, keepdim=True)).to(rows.dtype)
        return (rows * above).sum(-1) / above.sum(-1).clamp(min=1)

    def shape(self, x: Tensor, scale: Tensor) -> Tensor:
        """Return the ternary weights, straight through."""
        mean = self.per_channel(magnitudes(x, self.axis).mean(-1), x)
        codes = torch.sign(x) * (x.abs() > THRESHOLD * mean)
        return straight_through(codes * scale, x)


class TwnSpec(QuantizerSpec):
    """Ternary weights: a threshold and a scale for each channel, computed from the weights."""

    kind: Literal["twn"] = "twn"
    bits: int = Field(default=2, ge=2, le=8)

    def misuse(self, use: Use) -> str:
        """Ternary codes are weights and have two bits."""
        return not_ternary(self, use)

    def build(self, grid: IntGrid, *, axis: int | None, mark: str, channels: int = 1) -> Quantizer:
        """Return a ternary quantizer."""
        return TwnQuantizer(grid, axis=axis, mark=mark, channels=channels)


def not_ternary(spec: QuantizerSpec, use: Use) -> str:
    """Return why a ternary kind cannot quantize ``use`` at its bits; empty if it can."""
    if use == "activations":
        return f"{spec.kind} makes ternary weights only: for activations use kind lsq or pact"
    if spec.bits != 2:
        return f"{spec.kind} has ternary codes of 2 bits, not {spec.bits}: set bits to 2, or use kind lsq"
    return ""
