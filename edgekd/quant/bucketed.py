"""Bucketed: the linear quantizer of quantized distillation as published, to compare accuracy and size with.

Paper: Polino, Pascanu, Alistarh, "Model compression via distillation and quantization", ICLR 2018,
    arXiv:1802.05668, sec. 2 and 3; deterministic rounding, as in all of its published runs.

    buckets of 256 consecutive weights of the flattened tensor, the last one filled up with the last weight
    beta = min, alpha = max - min of the bucket (1 if that is below 1e-10);  u = (w - beta) / alpha
    Q(w) = alpha round(u (2**k - 1)) / (2**k - 1) + beta;  gradient: 1, straight through
    size in bits: k for each weight, and two floats for each bucket

No engine holds it: buckets run across channels, and their offsets are floats. Kind ``minmax`` is its form
with one symmetric bucket for each output channel. Nothing is kept, so nothing is started from a float
network.

Where we differ: which tensors are quantized is up to placement (weights of convolutions and linear layers,
not biases and BatchNorm).
"""

from collections.abc import Sequence
from math import ceil, prod
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from edgekd.core.grid import IntGrid
from edgekd.quant.quantizer import Quantizer, QuantizerSpec, ShapedQuantizer, Use, straight_through

BUCKET = 256
_NARROWEST = 1e-10


class BucketedQuantizer(ShapedQuantizer):
    """Weights on a linear scale from minimum to maximum of their bucket."""

    refusal = (
        "bucketed weights have a float offset for every 256 of them, across channels, which no integer "
        "kernel takes: use kind minmax, its form with one symmetric bucket for each channel, or lsq"
    )

    def register_scale(self, one: Tensor) -> None:
        """Keep nothing: each bucket says its scale."""

    def set_scale(self, scale: Tensor) -> None:
        """Keep nothing."""

    def training_scale(self, x: Tensor) -> Tensor:
        """Return 1: what is snapped has a scale for each bucket."""
        return torch.ones_like(self.smallest_scale)

    def shape(self, x: Tensor, scale: Tensor) -> Tensor:
        """Return the quantized weights, straight through."""
        flat = x.detach().flatten()
        size = min(BUCKET, len(flat))
        rows = F.pad(flat[None], (0, -len(flat) % size), mode="replicate").reshape(-1, size)
        beta = rows.amin(1, keepdim=True)
        alpha = rows.amax(1, keepdim=True) - beta
        alpha = torch.where(alpha < _NARROWEST, torch.ones_like(alpha), alpha)
        steps = self.grid.qmax - self.grid.qmin
        snapped = alpha * (torch.round((rows - beta) / alpha * steps) / steps) + beta
        return straight_through(snapped.flatten()[: len(flat)].reshape(x.shape), x)


class BucketedSpec(QuantizerSpec):
    """Paper-faithful buckets of 256 weights, for comparison only: no engine can hold them."""

    kind: Literal["bucketed"] = "bucketed"
    bits: int = Field(default=4, ge=2, le=8)

    @property
    def weight_grid(self) -> IntGrid:
        """``2**bits`` levels, which stand for other numbers in each bucket."""
        return IntGrid(0, 2**self.bits - 1)

    def misuse(self, use: Use) -> str:
        """Buckets are of weights."""
        return "bucketed holds weights only: for activations use kind lsq" if use == "activations" else ""

    def not_deployable(self) -> str:
        """Float offsets."""
        return BucketedQuantizer.refusal

    def size_bits(self, shape: Sequence[int]) -> int:
        """Return codes, and two floats for each bucket."""
        return prod(shape) * self.bits + 64 * ceil(prod(shape) / BUCKET)

    def build(self, grid: IntGrid, *, axis: int | None, mark: str, channels: int = 1) -> Quantizer:
        """Return a bucketed quantizer."""
        return BucketedQuantizer(grid, axis=axis, mark=mark, channels=channels)
