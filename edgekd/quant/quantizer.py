"""Quantizers: modules that own a scale and snap one tensor to one integer grid.

A new kind is one file with a :class:`QuantizerSpec` and a :class:`Quantizer`, and one line in the unions of
``edgekd/spec.py``.
"""

from abc import ABC, abstractmethod

import torch
from pydantic import Field
from torch import Tensor, nn

from edgekd.core.grid import IntGrid
from edgekd.core.spec_base import Spec
from edgekd.quant.fake_quant import fake_quant

SMALLEST_SCALE = 2.0**-40
SMALLEST_SHARE = 0.25


class Quantizer(nn.Module, ABC):
    """Snaps one tensor to ``grid``; subclasses say how the scale comes about.

    Attributes:
        grid: The integer codes.
        axis: Channel axis of the scale, None for one scale per tensor.
        mark: Name in the exported graph; it is also the name of the tensor in the engine.
        fixed_scale: The only scale that the runtime's kernel takes; None if it takes any.
        largest_scale: Upper bound of the scale, so that the grid ends where a ReLU6 does; None without bound.
        smallest_scale: Lower bound of the scale, same shape: a fraction of where calibration started it. One
            step of the optimizer can otherwise carry the scale of a small channel through 0.
        scale: Units per code, float32, shape () or (channels,).
    """

    smallest_scale: Tensor
    scale: Tensor

    def __init__(self, grid: IntGrid, *, axis: int | None, mark: str, channels: int = 1) -> None:
        super().__init__()
        self.grid = grid
        self.axis = axis
        self.mark = mark
        self.fixed_scale: float | None = None
        self.largest_scale: float | None = None
        one = torch.ones(() if axis is None else (channels,))
        self.register_buffer("smallest_scale", one * SMALLEST_SCALE)
        self.register_scale(one)

    @abstractmethod
    def register_scale(self, scale: Tensor) -> None:
        """Make ``self.scale`` a parameter or a buffer."""

    @abstractmethod
    def training_scale(self, x: Tensor) -> Tensor:
        """Return the scale to use on ``x``, with the gradient that this kind of quantizer promises."""

    @torch.no_grad()
    def set_scale(self, scale: Tensor) -> None:
        """Start from ``scale`` (shape of ``self.scale``), as calibration does."""
        if self.fixed_scale is not None:
            scale = torch.full_like(scale, self.fixed_scale)
        allowed = torch.clamp(scale, min=SMALLEST_SCALE, max=self.largest_scale)
        self.smallest_scale.copy_(allowed * SMALLEST_SHARE)
        self.scale.copy_(allowed)

    def bounded(self, scale: Tensor) -> Tensor:
        """Clamp ``scale`` to at least ``smallest_scale`` and at most ``largest_scale``."""
        if self.fixed_scale is not None:
            return torch.full_like(scale, self.fixed_scale)
        at_least = torch.maximum(scale, self.smallest_scale)
        return at_least if self.largest_scale is None else torch.clamp(at_least, max=self.largest_scale)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` snapped to the grid, same shape, in float32 whatever autocast makes of the rest."""
        scale = self.training_scale(x)
        bounded = self.bounded(scale)
        if self.training:  # straight-through: a scale that stepped beyond its bound can come back
            bounded = bounded.detach() + (scale - scale.detach())  # exactly the bound: what is added is 0
        return fake_quant(x.float(), bounded, self.grid, axis=self.axis, mark=self.mark)


class QuantizerSpec(Spec, ABC):
    """How a scale comes about, as a pipeline file says it.

    Attributes:
        kind: The word in the pipeline file.
        bits: Bits per code, 2..8.
    """

    kind: str
    bits: int = Field(default=8, ge=2, le=8)

    @abstractmethod
    def build(self, grid: IntGrid, *, axis: int | None, mark: str, channels: int = 1) -> Quantizer:
        """Return the quantizer of one tensor."""
