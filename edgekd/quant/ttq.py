"""TTQ: ternary weights with two trained levels.

Paper: Zhu, Han, Mao, Dally, "Trained Ternary Quantization", ICLR 2017, arXiv:1612.01064.

    threshold = 0.05 max|w|;  w_t = Wp above it, -Wn below its negative, else 0                   (eq. 6, 9)
    d/dWp = sum of g over the positive set, d/dWn = minus the sum of g over the negative set      (eq. 7)
    d/dw = Wp g above, Wn g below, g in between                                                   (eq. 8)

Trained as an engine holds it: the larger of the two levels is int8 code 127 or -127, the other
``round(127 * smaller / larger)``, at most 0.4 % of the larger away from the paper's. Three values in all,
which are stored as 2-bit indices into a table.

Where we differ: the threshold is that of each output channel, and the two levels of a layer count in a unit
of the channel, fixed by calibration as its mean magnitude above the threshold: what a BatchNorm behind it
would multiply by. So Wp and Wn start near 1, at the mean of the given float weights that they stand for, and
training may shrink them to a quarter. Without calibration the unit is 1.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from edgekd.core.grid import IntGrid
from edgekd.quant.quantizer import (
    SMALLEST_SHARE,
    Quantizer,
    QuantizerSpec,
    ShapedQuantizer,
    Use,
    magnitudes,
    one_way,
    straight_through,
)
from edgekd.quant.twn import not_ternary

THRESHOLD = 0.05
TABLE = 4
"""Values that a 2-bit index can mean, three of which are used."""


class TtqQuantizer(ShapedQuantizer):
    """Weights as -Wn, 0 or Wp.

    Attributes:
        unit: Of each channel, shape (channels,) or ().
        levels: Wp and Wn in that unit, shape (2,), trained.
    """

    unit: Tensor

    def register_scale(self, one: Tensor) -> None:
        """Make the levels a parameter, the unit a buffer."""
        self.register_buffer("unit", one)
        self.levels = nn.Parameter(torch.ones(2))

    @torch.no_grad()
    def start(self, weight: Tensor, scale: Tensor) -> None:
        """Start with the unit and the levels that fit a float weight best."""
        rows = magnitudes(weight, self.axis)
        above = (rows > THRESHOLD * rows.amax(-1, keepdim=True)).to(rows.dtype)
        self.set_scale((rows * above).sum(-1) / above.sum(-1).clamp(min=1))
        relative = weight / self.per_channel(self.unit, weight)
        for index, chosen in enumerate(self.signs(weight)):
            level = (relative.abs() * chosen).sum() / chosen.sum().clamp(min=1)
            self.levels[index] = level.clamp(min=SMALLEST_SHARE)

    @torch.no_grad()
    def set_scale(self, scale: Tensor) -> None:
        """Start with ``scale`` as the unit."""
        self.unit.copy_(self.allow(scale))
        self.smallest_scale.div_(self.grid.qmax)  # that of one code

    def bounded_levels(self) -> Tensor:
        """Return Wp and Wn, which training may not carry far below their bound."""
        levels: Tensor = self.levels
        return one_way(levels.clamp(min=SMALLEST_SHARE), levels)

    def training_scale(self, x: Tensor) -> Tensor:
        """Return the scale by which the larger level is the highest code."""
        return self.unit * (self.bounded_levels().detach().max() / self.grid.qmax)

    def signs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return where ``x`` is above the threshold and below its negative, as 1.0 and 0.0."""
        threshold = self.per_channel(THRESHOLD * magnitudes(x, self.axis).amax(-1), x)
        return (x > threshold).to(x.dtype), (x < -threshold).to(x.dtype)

    def shape(self, x: Tensor, scale: Tensor) -> Tensor:
        """Return ``-Wn``, 0 or ``Wp`` in whole codes, with the paper's three gradients."""
        positive, negative = self.signs(x)
        levels = self.bounded_levels()
        codes = torch.round(levels.detach() * (self.grid.qmax / levels.detach().max()))
        value = (positive * codes[0] - negative * codes[1]) * scale
        exact = (positive * levels[0] - negative * levels[1]) * self.per_channel(self.unit, x)
        slope = positive * codes[0] + negative * codes[1]
        slope = slope * (levels.detach().max() / self.grid.qmax) + (1 - positive - negative)
        return straight_through(value, exact + slope * x)


class TtqSpec(QuantizerSpec):
    """Ternary weights with two trained levels for each layer."""

    kind: Literal["ttq"] = "ttq"
    bits: int = Field(default=2, ge=2, le=8)

    @property
    def weight_grid(self) -> IntGrid:
        """All of int8: the two levels need not be equal."""
        return IntGrid(-127, 127)

    def misuse(self, use: Use) -> str:
        """Ternary codes are weights and have two bits."""
        return not_ternary(self, use)

    def size_bits(self, shape: Sequence[int]) -> int:
        """Return indices, a table of bytes for each layer, and a float for each channel."""
        return super().size_bits(shape) + 8 * TABLE

    def build(self, grid: IntGrid, *, axis: int | None, mark: str, channels: int = 1) -> Quantizer:
        """Return a ternary quantizer with trained levels."""
        return TtqQuantizer(grid, axis=axis, mark=mark, channels=channels)
