"""Code-book: the positions of a weight tensor's levels are learned (differentiable quantization).

Paper: Polino, Pascanu, Alistarh, "Model compression via distillation and quantization", ICLR 2018,
    arXiv:1802.05668, sec. 4.

    u = w / alpha;  Q(w) = alpha p_j with the nearest point p_j of u                              (eq. 1, 4)
    dL/dp_j = sum of alpha dL/dQ over the weights whose nearest point is p_j                      (eq. 6)
    points start at equally spaced percentiles of u, the smallest and the largest among them

Where we differ: a "bucket" with an alpha of its own is an output channel, and symmetric: alpha is the largest
magnitude of the channel in the given float network, fixed by calibration; the paper's buckets are 256
consecutive weights with an offset. All channels share the 2**bits points. The points are sorted where they
are used, so they may pass each other. The weights get the gradient of their point, straight through; the
paper trains the points alone, which is up to the method.

``snapped`` (default) trains what an engine holds: a point is a whole int8 code, alpha / 127 the scale of the
channel, and the codes are stored as indices of ``bits`` bits into a table. Zero need not be among the points:
the zero that a convolution pads with is one of its input. ``snapped: false`` has the paper's points between
the codes, to compare accuracy and size; no engine holds them.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from edgekd.core.grid import IntGrid
from edgekd.quant.quantizer import (
    Quantizer,
    QuantizerSpec,
    ShapedQuantizer,
    Use,
    straight_through,
)
from edgekd.quant.wrpn import WrpnQuantizer

MOST_BITS = 4


class CodebookQuantizer(ShapedQuantizer, WrpnQuantizer):
    """Weights as the nearest of a few points.

    Attributes:
        points: In units of the largest magnitude of a channel, shape (2**bits,), trained.
    """

    def __init__(self, grid: IntGrid, *, axis: int | None, mark: str, channels: int, points: int) -> None:
        super().__init__(grid, axis=axis, mark=mark, channels=channels)
        self.points = nn.Parameter(torch.linspace(-1, 1, points))

    @torch.no_grad()
    def start(self, weight: Tensor, scale: Tensor) -> None:
        """Start with the points at the percentiles of a float weight."""
        super().start(weight, scale)
        relative = weight / self.per_channel(self.scale * self.grid.qmax, weight)
        ordered = relative.flatten().sort().values
        places = torch.linspace(0, len(ordered) - 1, len(self.points), dtype=torch.float64)
        below = places.long()
        above = (below + 1).clamp(max=len(ordered) - 1)
        share = (places - below).to(ordered)
        self.points.copy_(ordered[below.to(ordered.device)].lerp(ordered[above.to(ordered.device)], share))

    def shape(self, x: Tensor, scale: Tensor) -> Tensor:
        """Return the nearest points, with their gradient and that of ``x``."""
        scale = scale.detach()
        codes = self.points.sort().values * self.grid.qmax
        if not self.refusal:
            codes = straight_through(codes.round().clamp(self.grid.qmin, self.grid.qmax), codes)
        middles = ((codes[1:] + codes[:-1]) / 2).detach()
        nearest = torch.bucketize((x / scale).detach(), middles)
        return codes[nearest] * scale + (x - x.detach())


class CodebookSpec(QuantizerSpec):
    """Weights as the nearest of 4, 8 or 16 learned points.

    Attributes:
        snapped: Whether points are whole int8 codes, which an engine needs.
    """

    kind: Literal["codebook"] = "codebook"
    bits: int = Field(default=4, ge=2, le=8)
    snapped: bool = True

    @property
    def weight_grid(self) -> IntGrid:
        """All of int8, of which ``2**bits`` codes are used."""
        return IntGrid(-127, 127)

    def misuse(self, use: Use) -> str:
        """Tables are of weights and small."""
        if use == "activations":
            return "codebook holds weights only: for activations use kind lsq or pact"
        if self.bits > MOST_BITS:
            return f"codebook has tables of up to {MOST_BITS} bits, not {self.bits}: use kind lsq"
        return ""

    def not_deployable(self) -> str:
        """Points between the codes."""
        if self.snapped:
            return ""
        return "codebook points that are not snapped lie between integer codes: set snapped: true"

    def size_bits(self, shape: Sequence[int]) -> int:
        """Return indices, a table of bytes (snapped) or floats, and a float for each channel."""
        return super().size_bits(shape) + (8 if self.snapped else 32) * (1 << self.bits)

    def build(self, grid: IntGrid, *, axis: int | None, mark: str, channels: int = 1) -> Quantizer:
        """Return a quantizer with learned points."""
        quantizer = CodebookQuantizer(grid, axis=axis, mark=mark, channels=channels, points=1 << self.bits)
        quantizer.refusal = self.not_deployable()
        return quantizer
