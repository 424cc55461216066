"""PACT: activations are clipped at a learned value.

Paper: Choi, Wang, Venkataramani, Chuang, Srinivasan, Gopalakrishnan, "PACT: Parameterized Clipping Activation
    for Quantized Neural Networks", 2018, arXiv:1805.06085.

    y = clip(x, 0, alpha),  y_q = round(y (2**k - 1) / alpha) alpha / (2**k - 1)                  (eq. 1, 2)
    d y_q / d alpha = 1 where x >= alpha, else 0;  d y_q / d x = 1 where 0 <= x < alpha, else 0   (eq. 3)
    an L2 penalty on alpha, ``decay / 2 * alpha**2``                                              (sec. 3.2)

Where we differ: alpha starts at 8 until calibration, which puts it where its method finds the range. The
penalty is added to the gradient of alpha, not to the loss. Signed activations are clipped at both ends, where
the lower one is the lowest code, ``-alpha * 2**(k-1) / (2**(k-1) - 1)``, and has the gradient of that.
Alpha does not fall below a quarter of its start (:attr:`Quantizer.smallest_scale`).
"""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from edgekd.core.grid import IntGrid
from edgekd.quant.quantizer import Quantizer, QuantizerSpec, ShapedQuantizer, Use

START = 8.0


class _Decayed(torch.autograd.Function):
    """``alpha``, with ``decay * alpha`` added to its gradient."""

    @staticmethod
    def forward(ctx: Any, alpha: Tensor, decay: float) -> Tensor:
        ctx.save_for_backward(alpha)
        ctx.decay = decay
        return alpha.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (alpha,) = ctx.saved_tensors
        return grads[0] + ctx.decay * alpha, None


class PactQuantizer(ShapedQuantizer):
    """A quantizer whose range is a parameter.

    Attributes:
        alpha: Where the range ends, in units of the tensor, shape () or (channels,).
        decay: Of the L2 penalty on alpha.
    """

    decay = 0.0

    def register_scale(self, one: Tensor) -> None:
        """Make the end of the range a parameter."""
        self.alpha = nn.Parameter(START * one)

    @torch.no_grad()
    def set_scale(self, scale: Tensor) -> None:
        """Start with a range that ends at the highest code."""
        self.alpha.copy_(self.allow(scale) * self.grid.qmax)

    def training_scale(self, x: Tensor) -> Tensor:
        """Return ``alpha / qmax``."""
        alpha: Tensor = self.alpha
        if self.training:
            alpha = _Decayed.apply(alpha, self.decay)  # type: ignore[no-untyped-call]
        return alpha / self.grid.qmax

    def shape(self, x: Tensor, scale: Tensor) -> Tensor:
        """Clip: beyond the range the gradient is that of its end."""
        high, low = scale * self.grid.qmax, scale * self.grid.qmin
        return torch.where(x >= high, high, torch.where(x < low, low, x))


class PactSpec(QuantizerSpec):
    """Learned clipping of activations.

    Attributes:
        decay: Of the L2 penalty that draws the range in.
    """

    kind: Literal["pact"] = "pact"
    decay: float = Field(default=1e-4, ge=0)

    def misuse(self, use: Use) -> str:
        """Weights are not its business."""
        return "pact clips activations only: for weights use kind dorefa or lsq" if use == "weights" else ""

    def build(self, grid: IntGrid, *, axis: int | None, mark: str, channels: int = 1) -> Quantizer:
        """Return a quantizer that learns where to clip."""
        quantizer = PactQuantizer(grid, axis=axis, mark=mark, channels=channels)
        quantizer.decay = self.decay
        return quantizer
