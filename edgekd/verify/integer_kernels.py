"""What ONNX Runtime's integer kernels compute, in exact arithmetic: the oracle.

Accumulators are exact integers (float64 holds every integer below 2**53); the requantization is the float32
arithmetic that the kernels document in their source (mlas: quantize.cpp, qladd.cpp, qlmul.cpp,
qpostprocessor.cpp), rounded half to even. So the expected number of mismatches is 0 on every x86 CPU with
AVX2, and, with QLinearAdd's own way there, on ARM. Tables of 256 entries hold what the float kernels compute,
ties included.
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


def qlinear_add_on_arm(inputs: list[Array | None], attributes: Attributes) -> Array:
    """Return QLinearAdd: the same inputs, added in fixed point with halves rounded away from zero.

    Both ratios become integers by one power of two that gives the greater 22 bits. Ratios that are too small
    or too large for that take the other way.
    """
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = inputs
    ra, rb = (float((_f32(scale) / _f32(y_scale)).reshape(())) for scale in (a_scale, b_scale))
    shift = 22 - math.frexp(max(ra, rb))[1]
    times_a, times_b = (np.rint(math.ldexp(ratio, shift)) for ratio in (ra, rb))
    if min(ra, rb) < 2**-14 or max(ra, rb) >= 2**8 or max(times_a, times_b) >= 2**22:
        return qlinear_add(inputs, attributes)
    total = _centred(a, a_zero) * times_a + _centred(b, b_zero) * times_b
    rounded = np.sign(total) * np.floor(np.abs(total) / 2.0**shift + 0.5)
    return _clip_to(rounded + np.asarray(y_zero, np.float64), y_zero)


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


def qlinear_average_pool(inputs: list[Array | None], attributes: Attributes) -> Array:
    """Return QLinearAveragePool: (x, x_scale, x_zero, y_scale, y_zero) -> codes.

    Numbers, not codes, are added in float32, row by row of the window; padding counts or not, but adds
    nothing.
    """
    x, x_scale, x_zero, y_scale, y_zero = inputs
    assert x is not None
    channels_last = bool(attributes.get("channels_last", 0))
    values = _dequantize(np.moveaxis(x, -1, 1) if channels_last else x, x_scale, x_zero)
    kernel, rank = attributes["kernel_shape"], x.ndim - 2
    starts = [_window_starts(x.shape[(1 if channels_last else 2) + i], i, attributes) for i in range(rank)]
    total = np.zeros((*values.shape[:2], *map(len, starts)), np.float32)
    count = np.zeros(total.shape[2:], np.float32)
    for offset in np.ndindex(*kernel):
        places = np.ix_(*(start + step for start, step in zip(starts, offset, strict=True)))
        sizes = values.shape[2:]
        inside = np.all(
            np.broadcast_arrays(*((p >= 0) & (p < size) for p, size in zip(places, sizes, strict=True))), 0
        )
        reached = tuple(np.clip(p, 0, size - 1) for p, size in zip(places, sizes, strict=True))
        total += np.where(inside, values[:, :, *reached], np.float32(0))
        count += inside
    if attributes.get("count_include_pad", 0):
        count = np.full_like(count, math.prod(kernel))
    y = _clip_to(np.rint(total / count / _f32(y_scale) + _f32(y_zero)), y_zero)
    return np.moveaxis(y, 1, -1) if channels_last else y


def qlinear_concat(inputs: list[Array | None], attributes: Attributes) -> Array:
    """Return QLinearConcat: (y_scale, y_zero, then x, x_scale, x_zero of every part) -> codes."""
    y_scale, y_zero, *parts = inputs
    codes = []
    for x, scale, zero in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        assert x is not None
        same = _f32(scale) == _f32(y_scale) and _f32(zero) == _f32(y_zero)
        codes.append(x if same else _quantize(_dequantize(x, scale, zero), y_scale, y_zero))
    return np.concatenate(codes, axis=attributes["axis"])


def qlinear_sigmoid(inputs: list[Array | None], attributes: Attributes) -> Array:
    """Return QLinearSigmoid: (x, x_scale, x_zero, y_scale, y_zero) -> codes."""
    x, x_scale, x_zero, y_scale, y_zero = inputs
    return _quantize(_logistic(_dequantize(x, x_scale, x_zero)), y_scale, y_zero)


def qlinear_leaky_relu(inputs: list[Array | None], attributes: Attributes) -> Array:
    """Return QLinearLeakyRelu: (x, x_scale, x_zero, y_scale, y_zero) -> codes."""
    x, x_scale, x_zero, y_scale, y_zero = inputs
    value = _dequantize(x, x_scale, x_zero)
    sloped = np.where(value >= 0, value, np.float32(attributes.get("alpha", 0.01)) * value)
    return _quantize(sloped, y_scale, y_zero)


def qlinear_softmax(inputs: list[Array | None], attributes: Attributes) -> Array:
    """Return QLinearSoftmax: (x, x_scale, x_zero, y_scale, y_zero) -> codes.

    A table holds ``exp`` of the distance to the largest code, scaled so that the float32 sum of a row cannot
    overflow. The row is added from left to right. ``1 / y_scale`` is rounded down to an integer. Quotients
    become codes as they are.
    """
    return _softmax(inputs, attributes, quotient=np.float64)


def qlinear_softmax_before_1_32(inputs: list[Array | None], attributes: Attributes) -> Array:
    """Return the same with quotients rounded to float32 first: one in a million goes to another code."""
    return _softmax(inputs, attributes, quotient=np.float32)


def _softmax(
    inputs: list[Array | None], attributes: Attributes, *, quotient: type[np.floating[Any]]
) -> Array:
    x, x_scale, _, y_scale, y_zero = inputs
    assert x is not None
    axis = int(attributes.get("axis", -1))
    if attributes.get("opset", 13) < 13:
        rows = x.reshape(*x.shape[: axis % x.ndim], -1)
        axis = -1
    else:
        rows = np.moveaxis(x, axis, -1)
    numerators = _exponentials(rows, float(_f32(x_scale)))
    total = np.zeros(rows.shape[:-1], np.float32)
    for index in range(rows.shape[-1]):
        total += numerators[..., index]
    units = np.floor(np.float32(1) / _f32(y_scale))
    quotients = (numerators.astype(np.float64) * units / total[..., None]).astype(quotient)
    y = _clip_to(np.rint(quotients) + _f32(y_zero), y_zero)
    return y.reshape(x.shape) if rows.ndim != x.ndim else np.moveaxis(y, -1, axis)


_LOGISTIC_P = (
    4.37031012579801e-11,
    1.15627324459942e-07,
    6.08574864600143e-05,
    8.51377133304701e-03,
    0.248287947061529,
)
_LOGISTIC_Q = (
    6.10247389755681e-13,
    5.76102136993427e-09,
    6.29106785017040e-06,
    1.70198817374094e-03,
    0.116817656904453,
    0.993151921023180,
)

EXACT_KERNELS: dict[str, Kernel] = {
    "QLinearConv": qlinear_conv,
    "QGemm": qgemm,
    "QLinearMatMul": qlinear_matmul,
    "QLinearAdd": qlinear_add,
    "QLinearMul": qlinear_mul,
    "QLinearGlobalAveragePool": qlinear_global_average_pool,
    "QLinearAveragePool": qlinear_average_pool,
    "QLinearConcat": qlinear_concat,
    "QLinearSigmoid": qlinear_sigmoid,
    "QLinearLeakyRelu": qlinear_leaky_relu,
    "QLinearSoftmax": qlinear_softmax,
}
OTHER_KERNELS: dict[str, Kernel] = {
    "QLinearAdd": qlinear_add_on_arm,
    "QLinearSoftmax": qlinear_softmax_before_1_32,
}
"""What ONNX Runtime computes on other CPUs, or older releases of it, where that is not the same."""


def _f32(value: Array | None) -> Array:
    assert value is not None
    return np.asarray(value, np.float32)


def _centred(codes: Array | None, zero: Array | None) -> NDArray[np.float64]:
    assert codes is not None
    offset = 0.0 if zero is None else np.asarray(zero, np.float64)
    if np.ndim(offset) and np.size(offset) > 1:
        offset = np.unique(offset).item()  # the kernels take one zero point for all channels
    return np.asarray(codes, np.float64) - np.asarray(offset, np.float64).reshape(())


def _dequantize(codes: Array | None, scale: Array | None, zero: Array | None) -> NDArray[np.float32]:
    return _centred(codes, zero).astype(np.float32) * _f32(scale).reshape(())


def _quantize(values: NDArray[np.float32], scale: Array | None, zero: Array | None) -> Array:
    return _clip_to(np.rint(values / _f32(scale).reshape(())) + _f32(zero).reshape(()), zero)


def _logistic(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Evaluate the rational approximation of mlas (logistic.cpp), with fused multiply-adds in float32."""
    x = np.clip(x, np.float32(-18), np.float32(18))
    square = x * x
    numerator, denominator = (np.full_like(x, first) for first in (_LOGISTIC_P[0], _LOGISTIC_Q[0]))
    for factor in _LOGISTIC_P[1:]:
        numerator = _fused_multiply_add(numerator, square, np.asarray(factor, np.float32))
    for factor in _LOGISTIC_Q[1:]:
        denominator = _fused_multiply_add(denominator, square, np.asarray(factor, np.float32))
    y: NDArray[np.float32] = np.maximum(numerator * x / denominator + np.float32(0.5), np.float32(0))
    return y


def _exponentials(rows: Array, scale: float) -> NDArray[np.float32]:
    most = float(np.float32(math.log(np.finfo(np.float32).max / np.float32(rows.shape[-1]))))
    shift = max(0.0, most - 5) / scale
    table = np.exp((np.arange(256) - 255 + shift) * scale).astype(np.float32)
    codes = rows.astype(np.int64)
    aligned: NDArray[np.float32] = table[codes - codes.max(-1, keepdims=True) + 255]
    return aligned


def _window_starts(size: int, axis: int, attributes: Attributes) -> NDArray[np.int64]:
    """Return where the windows of a pool start along one axis, padding included."""
    kernel = attributes["kernel_shape"]
    pads = attributes.get("pads", [0] * 2 * len(kernel))
    stride = attributes.get("strides", [1] * len(kernel))[axis]
    free = size + pads[axis] + pads[axis + len(kernel)] - kernel[axis]
    count = free // stride + 1
    if attributes.get("ceil_mode", 0):
        count = -(-free // stride) + 1
        count -= (count - 1) * stride >= size + pads[axis]  # a window in the padding alone is left out
    starts: NDArray[np.int64] = np.arange(count) * stride - pads[axis]
    return starts


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
