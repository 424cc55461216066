"""Quantizers: modules that snap one tensor to one integer grid.

A new kind is one file with a :class:`QuantizerSpec` and a :class:`Quantizer`, and one line in the unions of
``edgekd/unions.py``. A *plain* kind says how its scale comes about; its gradients are those of
:func:`edgekd.quant.fake_quant.fake_quant`. A *shaped* kind has a function of its own in front of the grid,
and its own gradient. Engines know neither: :mod:`edgekd.quant.deploy` leaves integer grids alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from edgekd.core.grid import IntGrid, weight_grid
from edgekd.core.spec_base import Spec
from edgekd.quant.fake_quant import fake_quant

SMALLEST_SCALE = 2.0**-40
SMALLEST_SHARE = 0.25

Use = Literal["weights", "activations"]


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
        refusal: Why no engine can hold its values, with what to use instead; empty if they lie on ``grid``.
    """

    smallest_scale: Tensor
    refusal = ""

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
    def register_scale(self, one: Tensor) -> None:
        """Make the parameters and buffers that the scale comes from; ``one`` has its shape."""

    @abstractmethod
    def training_scale(self, x: Tensor) -> Tensor:
        """Return the scale to use on ``x``, with the gradient that this kind of quantizer promises."""

    def start(self, weight: Tensor, scale: Tensor) -> None:
        """Start from a float ``weight`` for which calibration found ``scale``."""
        self.set_scale(scale)

    @abstractmethod
    def set_scale(self, scale: Tensor) -> None:
        """Start from ``scale``, as calibration does."""

    @torch.no_grad()
    def allow(self, scale: Tensor) -> Tensor:
        """Clamp a scale to start from, and let training shrink it to :data:`SMALLEST_SHARE` of that."""
        if self.fixed_scale is not None:
            scale = torch.full_like(scale, self.fixed_scale)
        allowed = torch.clamp(scale, min=SMALLEST_SCALE, max=self.largest_scale)
        self.smallest_scale.copy_(allowed * SMALLEST_SHARE)
        return allowed

    def bounded(self, scale: Tensor) -> Tensor:
        """Clamp ``scale`` to at least ``smallest_scale`` and at most ``largest_scale``."""
        if self.fixed_scale is not None:
            return torch.full_like(scale, self.fixed_scale)
        at_least = torch.maximum(scale, self.smallest_scale)
        return at_least if self.largest_scale is None else torch.clamp(at_least, max=self.largest_scale)

    def scale_for(self, x: Tensor) -> Tensor:
        """Return the scale that ``x`` is snapped with, > 0, float32: shape () or (channels,)."""
        scale = self.training_scale(x)
        bounded = self.bounded(scale)
        return one_way(bounded, scale) if self.training else bounded

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` snapped to the grid, same shape, in float32 whatever autocast makes of the rest."""
        x = x.float()
        return fake_quant(x, self.scale_for(x), self.grid, axis=self.axis, mark=self.mark)

    def per_channel(self, values: Tensor, x: Tensor) -> Tensor:
        """Reshape one value per channel, (channels,) or (), so that it broadcasts against ``x``."""
        if self.axis is None:
            return values
        return values.reshape([-1 if dim == self.axis else 1 for dim in range(x.dim())])


class ShapedQuantizer(Quantizer):
    """A quantizer with a function of its own in front of the grid, which also has the gradient."""

    @abstractmethod
    def shape(self, x: Tensor, scale: Tensor) -> Tensor:
        """Return what is rounded to the grid, with the gradient that this kind of quantizer promises.

        Args:
            x: Weights (out, ...) or activations, float32.
            scale: That of :meth:`scale_for`, shaped to broadcast against ``x``.
        """

    def forward(self, x: Tensor) -> Tensor:
        """Return the values of ``fake_quant(shape(x))`` with the gradient of ``shape(x)``."""
        x = x.float()
        scale = self.scale_for(x)
        shaped = self.shape(x, self.per_channel(scale, x))
        if self.refusal:
            return shaped
        snapped = fake_quant(shaped.detach(), scale.detach(), self.grid, axis=self.axis, mark=self.mark)
        return snapped + (shaped - shaped.detach())  # exactly snapped: what is added is 0


def straight_through(value: Tensor, x: Tensor) -> Tensor:
    """Return ``value`` with the gradient of ``x`` (Bengio et al. 2013, arXiv:1308.3432)."""
    return value.detach() + (x - x.detach())


class _OneWay(torch.autograd.Function):
    """The bounded value, and of its gradient what does not push further beyond the bound."""

    @staticmethod
    def forward(ctx: Any, bounded: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(value - bounded)
        return bounded.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        (grad,), (beyond,) = grads, ctx.saved_tensors
        return None, grad * (grad * beyond >= 0)  # a step goes against its gradient


def one_way(bounded: Tensor, value: Tensor) -> Tensor:
    """Return ``bounded``; ``value`` gets its gradient, except where a step would go further beyond the bound.

    Without that, a value beyond its bound, which changes nothing there, goes on until it finds no way back.

    Example:
        >>> value = torch.tensor([-2.0, -2.0, 3.0], requires_grad=True)
        >>> (one_way(value.detach().clamp(min=1), value) * torch.tensor([5.0, -5.0, 5.0])).sum().backward()
        >>> value.grad
        tensor([ 0., -5.,  5.])
    """
    result: Tensor = _OneWay.apply(bounded.detach(), value)  # type: ignore[no-untyped-call]
    return result


def magnitudes(x: Tensor, axis: int | None) -> Tensor:
    """Return the absolute values of ``x``, one row per channel: (channels, n), or (n,) without axis."""
    return x.detach().abs().flatten() if axis is None else x.detach().abs().movedim(axis, 0).flatten(1)


class QuantizerSpec(Spec, ABC):
    """A kind of quantizer and its bits, as a pipeline file says it.

    Attributes:
        kind: The word in the pipeline file.
        bits: Bits per code, 2..8.
        freezable: Whether single weights can be held at their codes: ``round(w / scale)``, with a scale that
            does not come from the weights. See ``edgekd/train/oscillation.py``.
    """

    freezable: ClassVar[bool] = False

    kind: str
    bits: int = Field(default=8, ge=2, le=8)

    @property
    def weight_grid(self) -> IntGrid:
        """The integer codes of weights."""
        return weight_grid(self.bits)

    def misuse(self, use: Use) -> str:
        """Return why this kind cannot quantize ``use`` at its bits, and what can; empty if it can."""
        return ""

    def not_deployable(self) -> str:
        """Return why no engine can hold its weights, and what to use instead; empty if one can."""
        return ""

    def size_bits(self, shape: Sequence[int]) -> int:
        """Return the bits that weights of this shape take by formula: codes, and a float per channel.

        Example:
            64 kernels of 3 x 3 x 16 at 4 bits: 64 * 144 * 4 + 64 * 32 = 38912.
        """
        return prod(shape) * self.bits + 32 * shape[0]

    @abstractmethod
    def build(self, grid: IntGrid, *, axis: int | None, mark: str, channels: int = 1) -> Quantizer:
        """Return the quantizer of one tensor: weights with an axis, activations without."""
