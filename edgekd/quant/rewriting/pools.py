"""Means, sums and maxima over any axes, as pools."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from edgekd.quant.pool_windows import both, reach_into_padding
from edgekd.quant.rewriting.rewrite import Rewrite, flat


def _adaptive_avg_pool2d(x: Any, size: Any) -> Any:
    wanted = _sizes(size, x.shape[-2:])
    if wanted == (1, 1):
        return NotImplemented
    kernel = _kernel(x.shape[-2:], wanted)
    return kernel if kernel is NotImplemented else _pool(F.avg_pool2d, x, kernel)


def _adaptive_max_pool2d(x: Any, size: Any, return_indices: bool = False) -> Any:
    kernel = _kernel(x.shape[-2:], _sizes(size, x.shape[-2:]))
    return NotImplemented if kernel is NotImplemented or return_indices else _pool(F.max_pool2d, x, kernel)


def _adaptive_avg_pool1d(x: Any, size: Any) -> Any:
    if _sizes(size, x.shape[-1:]) == (1,):
        return NotImplemented
    return _adaptive_avg_pool2d(x.unsqueeze(2), (1, *_sizes(size, x.shape[-1:]))).squeeze(2)


def _avg_pool1d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    (size,), (step,), (pad,) = (flat([value]) for value in (kernel_size, stride or kernel_size, padding))
    pooled = F.avg_pool2d(x.unsqueeze(2), (1, size), (1, step), (0, pad), ceil_mode, count_include_pad)
    return pooled.squeeze(2)


def _avg_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    """Write a pool whose last windows are cut off at the padding's border as one without padding of its own.

    ONNX Runtime's integer kernel divides such windows by their full size, its float kernel by what is left.
    """
    kernel, steps, pads = (both(value) for value in (kernel_size, stride or kernel_size, padding))
    sizes = tuple(x.shape[-2:])
    overhang = [(n + 2 * p - k) % s for n, k, s, p in zip(sizes, kernel, steps, pads, strict=True)]
    if not (ceil_mode and count_include_pad and any(overhang)) or divisor_override:
        return NotImplemented
    after = [reach_into_padding(*axis) for axis in zip(sizes, kernel, steps, pads, strict=True)]
    if min(after) < 0:
        x = x[..., : sizes[0] + min(0, after[0]), : sizes[1] + min(0, after[1])]
    if any(pads):
        x = F.pad(x, (pads[1], max(0, after[1]), pads[0], max(0, after[0])))
    return F.avg_pool2d(x, kernel, steps, 0, True, False)


def _sizes(size: Any, given: Sequence[int]) -> tuple[int, ...]:
    sizes = size if isinstance(size, tuple | list) else [size] * len(given)
    return tuple(have if want is None else want for want, have in zip(sizes, given, strict=True))


def _kernel(have: Sequence[int], want: Sequence[int]) -> Any:
    if any(a % b for a, b in zip(have, want, strict=True)):
        return NotImplemented
    return tuple(a // b for a, b in zip(have, want, strict=True))


def _pool(pool: Callable[..., Any], x: Any, kernel: tuple[int, ...]) -> Any:
    return x if set(kernel) == {1} else pool(x, kernel, stride=kernel)


def _axes(x: Any, dim: Any) -> list[int]:
    dims = range(x.ndim) if dim is None else dim if isinstance(dim, tuple | list) else (dim,)
    return sorted(axis % x.ndim for axis in dims)


def _mean(x: Any, dim: Any = None, keepdim: bool = False, **options: Any) -> Any:
    axes = _axes(x, dim)
    if x.ndim > 2 and axes == list(range(2, x.ndim)):
        return NotImplemented
    return _reduce(lambda rows: rows.mean(2, keepdim=False), x, axes, keepdim)


def _sum(x: Any, dim: Any = None, keepdim: bool = False, **options: Any) -> Any:
    count = math.prod(x.shape[axis] for axis in _axes(x, dim)) if 0 not in _axes(x, dim) else 0
    return x.mean(dim, keepdim=keepdim) * float(count) if count else NotImplemented


def _amax(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    def largest(rows: Any) -> Any:
        return F.max_pool2d(rows.unsqueeze(1), (1, rows.shape[2])).flatten(1)

    axes = _axes(x, dim)
    if x.ndim == 4 and axes == [2, 3]:
        pooled = F.max_pool2d(x, tuple(x.shape[2:]))
        return pooled if keepdim else pooled.flatten(1)
    return _reduce(largest, x, axes, keepdim)


def _reduce(reduce: Callable[[Any], Any], x: Any, axes: list[int], keepdim: bool) -> Any:
    """Reduce any axes but the batch: what is kept goes to the front, as (n, kept, reduced)."""
    if 0 in axes:
        return NotImplemented
    kept = [axis for axis in range(1, x.ndim) if axis not in axes]
    shape = [1 if axis in axes else x.shape[axis] for axis in range(1, x.ndim)]
    order = (0, *kept, *axes)
    moved = x if order == tuple(range(x.ndim)) else x.permute(*order)
    rows = math.prod(x.shape[axis] for axis in kept)
    result = reduce(moved.reshape(-1, rows, math.prod(x.shape[axis] for axis in axes)))
    final = shape if keepdim else [x.shape[axis] for axis in kept]
    return result if final == [rows] else result.reshape(-1, *final)


POOLS: dict[Any, Rewrite] = {
    F.adaptive_avg_pool2d: _adaptive_avg_pool2d,
    F.adaptive_max_pool2d: _adaptive_max_pool2d,
    F.adaptive_avg_pool1d: _adaptive_avg_pool1d,
    F.avg_pool2d: _avg_pool2d,
    F.avg_pool1d: _avg_pool1d,
    torch.avg_pool1d: _avg_pool1d,
    torch.mean: _mean,
    "mean": _mean,
    torch.sum: _sum,
    "sum": _sum,
    torch.amax: _amax,
    "amax": _amax,
}
