"""What ONNX Runtime's integer kernels compute, in exact arithmetic: the oracle.

Accumulators are exact integers (float64 holds every integer below 2**53); the requantization is the float32
arithmetic that the kernels document in their source (mlas: quantize.cpp, qladd.cpp, qlmul.cpp,
qpostprocessor.cpp), rounded half to even. So the expected number of mismatches is 0 on every x86 CPU with
AVX2. On ARM the source of QLinearAdd works in fixed point instead: not modelled here.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]
Attributes = Mapping[str, Any]
Kernel = Callable[[list[Array | None], Attributes], Array]


def qlinear_conv(inputs: list[Array | None], attributes: Attributes) -> Array:
    """Return QLinearConv: (x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, bias) -> codes.

    ``x`` is (n, c, ...), or (n, ..., c) with the attribute ``channels_last``; ``w`` is
    (out, c / group, ...).
    """
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, *rest = inputs
    assert x is not None
    channels_last = bool(attributes.get("channels_last", 0))
    planes = _centred(np.moveaxis(x, -1, 1) if channels_last else x, x_zero)
    accumulator = _convolve(planes, _centred(w, w_zero), attributes)
    if rest and rest[0] is not None:
        accumulator += _per_channel(rest[0].astype(np.float64), accumulator)
    multiplier = (_f32(x_scale) * _f32(w_scale)) / _f32(y_scale)
    y = _requantize(accumulator, _per_channel(multiplier, accumulator), y_zero)
    return np.moveaxis(y, 1, -1) if channels_last else y


def qgemm(inputs: list[Array | None], attributes: Attributes) -> Array:
    """Return QGemm: (a, a_scale, a_zero, b, b_scale, b_zero, bias, y_scale, y_zero) -> codes.

    Without ``y_scale`` the result is float.
    """
    a, a_scale, a_zero, b, b_scale, b_zero, bias, y_scale, y_zero = (inputs + [None] * 9)[:9]
    left, right = _centred(a, a_zero), _centred(b, b_zero)
    left = left.T if attributes.get("transA", 0) else left
    right = right.T if attributes.get("transB", 0) else right
    accumulator = left @ right
    if bias is not None:
        accumulator += bias.astype(np.float64)
    multiplier = np.float32(attributes.get("alpha", 1.0)) * (_f32(a_scale) * _f32(b_scale))
    if y_scale is None:
        return accumulator.astype(np.float32) * multiplier
    return _requantize(accumulator, multiplier / _f32(y_scale), y_zero)


def qlinear_matmul(inputs: list[Array | None], attributes: Attributes) -> Array:
    """Return QLinearMatMul: (a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero) -> codes."""
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = inputs
    accumulator = _centred(a, a_zero) @ _centred(b, b_zero)
    return _requantize(accumulator, (_f32(a_scale) * _f32(b_scale)) / _f32(y_scale), y_zero)


def qlinear_add(inputs: list[Array | None], attributes: Attributes) -> Array:
    """Return QLinearAdd: (a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero) -> codes.

    ``fma(ra, a, fma(rb, b, y_zero - fma(ra, a_zero, rb * b_zero)))`` with ``r = scale / y_scale`` in float32;
    an ``a`` that is broadcast changes places with ``b``.
    """
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = inputs
    if _is_broadcast(a, b):
        a, a_scale, a_zero, b, b_scale, b_zero = b, b_scale, b_zero, a, a_scale, a_zero
    ra, rb = _f32(a_scale) / _f32(y_scale), _f32(b_scale) / _f32(y_scale)
    offset = _f32(y_zero) - _fused_multiply_add(ra, a_zero, rb * _f32(b_zero))
    inner = _fused_multiply_add(rb, b, offset)
    return _clip_to(np.rint(_fused_multiply_add(ra, a, inner)), y_zero)


def qlinear_mul(inputs: list[Array | None], attributes: Attributes) -> Array:
    """Return QLinearMul: (a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero) -> codes.

    The zero point is added in float32 before rounding, where 39.499996 + 128 is 167.5.
    """
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = inputs
    product = (_centred(a, a_zero) * _centred(b, b_zero)).astype(np.float32)
    multiplier = (_f32(a_scale) * _f32(b_scale)) / _f32(y_scale)
    return _clip_to(np.rint(product * multiplier + _f32(y_zero)), y_zero)


def qlinear_global_average_pool(inputs: list[Array | None], attributes: Attributes) -> Array:
    """Return QLinearGlobalAveragePool: (x, x_scale, x_zero, y_scale, y_zero) -> codes.

    They are (n, c, 1, 1), or (n, 1, 1, c) with the attribute ``channels_last``.
    """
    x, x_scale, x_zero, y_scale, y_zero = inputs
    assert x is not None
    axes = tuple(range(1, x.ndim - 1) if attributes.get("channels_last", 0) else range(2, x.ndim))
    count = np.prod([x.shape[axis] for axis in axes])
    total = _centred(x, x_zero).sum(axes, keepdims=True)
    return _requantize(total, _f32(x_scale) / (_f32(y_scale) * np.float32(count)), y_zero)


EXACT_KERNELS: dict[str, Kernel] = {
    "QLinearConv": qlinear_conv,
    "QGemm": qgemm,
    "QLinearMatMul": qlinear_matmul,
    "QLinearAdd": qlinear_add,
    "QLinearMul": qlinear_mul,
    "QLinearGlobalAveragePool": qlinear_global_average_pool,
}


def _f32(value: Array | None) -> Array:
    assert value is not None
    return np.asarray(value, np.float32)


def _centred(codes: Array | None, zero: Array | None) -> NDArray[np.float64]:
    assert codes is not None
    offset = 0.0 if zero is None else np.asarray(zero, np.float64)
    if np.ndim(offset) and np.size(offset) > 1:
        offset = np.unique(offset).item()  # the kernels take one zero point for all channels
    return np.asarray(codes, np.float64) - np.asarray(offset, np.float64).reshape(())


def _is_broadcast(a: Array | None, b: Array | None) -> bool:
    """Whether one number of ``a`` meets a whole row of ``b`` on the innermost axis."""
    assert a is not None
    assert b is not None
    own = (1,) * (b.ndim - a.ndim) + a.shape
    last = next((axis for axis in reversed(range(b.ndim)) if b.shape[axis] > 1), None)
    return last is not None and own[last - b.ndim] == 1


def _fused_multiply_add(a: Array, b: Array | None, c: Array) -> NDArray[np.float32]:
    assert b is not None
    return (a.astype(np.float64) * b.astype(np.float64) + c.astype(np.float64)).astype(np.float32)


def _requantize(accumulator: NDArray[np.float64], multiplier: Array, zero: Array | None) -> Array:
    scaled = np.rint(accumulator.astype(np.float32) * multiplier.astype(np.float32))
    return _clip_to(scaled + np.float32(0 if zero is None else zero), zero)


def _clip_to(values: Array, zero: Array | None) -> Array:
    kind = np.dtype(np.uint8) if zero is None else np.asarray(zero).dtype
    limits = np.iinfo(kind)
    return np.clip(values, limits.min, limits.max).astype(kind)


def _per_channel(values: Array, like: Array) -> Array:
    return values.reshape(-1, *[1] * (like.ndim - 2))


def _convolve(x: NDArray[np.float64], w: NDArray[np.float64], attributes: Attributes) -> NDArray[np.float64]:
    """Convolve (n, c, ...) with (out, c / group, ...); padding is 0 in centred codes."""
    n, _, *sizes = x.shape
    out, per_group, *kernel = w.shape
    group, rank = int(attributes.get("group", 1)), len(sizes)
    pads = attributes.get("pads", [0] * 2 * rank)
    strides = attributes.get("strides", [1] * rank)
    dilations = attributes.get("dilations", [1] * rank)
    padded = np.pad(x, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)])
    window = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    patches = sliding_window_view(padded, window, axis=tuple(range(2, 2 + rank)))
    every = [slice(None, None, step) for step in (*strides, *dilations)]
    patches = patches[:, :, *every]  # (n, c, *places, *kernel)
    places = patches.shape[2 : 2 + rank]
    rows = patches.reshape(n, group, per_group, math.prod(places), math.prod(kernel))
    rows = rows.transpose(1, 0, 3, 2, 4).reshape(group, n * math.prod(places), -1)
    columns = w.reshape(group, out // group, -1).transpose(0, 2, 1)
    y = (rows @ columns).reshape(group, n, *places, out // group)
    return np.moveaxis(y, (1, -1), (0, 2)).reshape(n, out, *places)
