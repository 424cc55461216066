"""What fake quantization means, in the only place that says it.

Everything else (the marks in the exported graph, the codes in the engine, the oracle) is proved equal to
this by test.

Source:
    Uniform affine quantization with straight-through gradients: Jacob et al. 2018, arXiv:1712.05877, sec. 3;
    Bengio et al. 2013, arXiv:1308.3432. The gradient with respect to the scale is that of LSQ: Esser et al.
    2020, arXiv:1902.08153, eq. 3.
"""

from typing import Any

import torch
from torch import Tensor

from edgekd.core.grid import IntGrid
from edgekd.errors import SchemeError

MARK_DOMAIN = "edgekd"


class _SnapToGrid(torch.autograd.Function):
    """``scale * clip(round(x / scale))`` and its gradients; ``scale`` broadcasts against ``x``."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, qmin: int, qmax: int) -> Tensor:
        v = x / scale
        ctx.save_for_backward(v, scale)
        ctx.bounds = qmin, qmax
        return torch.round(v).clamp_(qmin, qmax).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        (grad,) = grads
        v, scale = ctx.saved_tensors
        qmin, qmax = ctx.bounds
        clipped = torch.clamp(v, qmin, qmax)
        codes = torch.round(clipped)
        inside = clipped.eq_(v)  # 1.0 or 0.0: arithmetic on floats is vectorized, masks are many times slower
        grad_scale = None
        if ctx.needs_input_grad[1]:
            # not addcmul: torch.compile does not recompute it but carries its result from forward to backward
            grad_scale = codes.sub_(v * inside).mul_(grad).sum_to_size(scale.shape)
        grad_x = inside.mul_(grad) if ctx.needs_input_grad[0] else None
        return grad_x, grad_scale, None, None


def fake_quant(x: Tensor, scale: Tensor, grid: IntGrid, *, axis: int | None = None, mark: str = "") -> Tensor:
    """Snap ``x`` to the integer grid and return it as float.

    Computes ``scale * clip(round(x / scale), qmin, qmax)``, ties to even. While a network is being exported,
    emits one ``edgekd::FakeQuant`` mark instead, which a target's lowering turns into its own dialect.

    Args:
        x: Weights (out, in, kh, kw) or (out, in), activations of any shape, float32.
        scale: Units of ``x`` per code, > 0; shape () per tensor or (x.shape[axis],) per channel.
        grid: The codes.
        axis: Channel axis of a per-channel scale, or None.
        mark: Name of the quantizer in the exported graph.

    Returns:
        Same shape and dtype as ``x``. Gradients: with respect to ``x``, 1 inside the range and 0 outside;
        with respect to ``scale``, ``round(v) - v`` inside and ``qmin`` or ``qmax`` outside, where ``v = x /
        scale``.

    Raises:
        SchemeError: If ``scale`` does not have the shape that ``axis`` asks for.

    Example:
        >>> fake_quant(torch.tensor([0.26, -0.9, 5.0]), torch.tensor(0.1), IntGrid(-7, 7))
        tensor([ 0.3000, -0.7000,  0.7000])
    """
    expected = () if axis is None else (x.shape[axis],)
    if tuple(scale.shape) != expected:
        what = f"quantizer {mark!r}: scale has shape {tuple(scale.shape)}, expected {expected}"
        raise SchemeError(what)
    if torch.compiler.is_exporting():
        return _emit_mark(x, scale, grid, axis=axis, mark=mark)
    if axis is not None:
        scale = scale.reshape([-1 if dim == axis else 1 for dim in range(x.dim())])
    snapped: Tensor = _SnapToGrid.apply(x, scale, grid.qmin, grid.qmax)  # type: ignore[no-untyped-call]
    return snapped


def _emit_mark(x: Tensor, scale: Tensor, grid: IntGrid, *, axis: int | None, mark: str) -> Tensor:
    return torch.onnx.ops.symbolic(
        f"{MARK_DOMAIN}::FakeQuant",
        (x, scale),
        attrs={"qmin": grid.qmin, "qmax": grid.qmax, "axis": -1 if axis is None else axis, "mark": mark},
        dtype=x.dtype,
        shape=x.shape,
        version=1,
    )
