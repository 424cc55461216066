"""What only moves numbers, as slices, transposes and reshapes."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from edgekd.quant.rewriting.rewrite import Rewrite, flat, is_batch_size


def _expand_as(x: Any, other: Any) -> Any:
    return x.expand(*other.shape)


def _repeat(x: Any, *counts: Any) -> Any:
    sizes = flat(counts)
    if len(sizes) != x.ndim or any(
        x.shape[i] != 1 for i, count in enumerate(sizes) if is_batch_size(count) or count != 1
    ):
        return NotImplemented
    return x.expand(*(count if is_batch_size(count) or count != 1 else -1 for count in sizes))


def _unbind(x: Any, dim: int = 0) -> Any:
    axis = dim % x.ndim
    return tuple(x[(*[slice(None)] * axis, index)] for index in range(x.shape[axis]))


def _select(x: Any, dim: int, index: int) -> Any:
    return x[(*[slice(None)] * (dim % x.ndim), index)]


def _narrow(x: Any, dim: int, start: int, length: int) -> Any:
    return x[(*[slice(None)] * (dim % x.ndim), slice(start, start + length))]


def _stack(tensors: Any, dim: int = 0) -> Any:
    axis = dim % (tensors[0].ndim + 1)
    return torch.cat([tensor.unsqueeze(axis) for tensor in tensors], axis)


def _swap(x: Any, first: int, second: int) -> Any:
    return x.transpose(first, second)


def _movedim(x: Any, source: int, destination: int) -> Any:
    order = list(range(x.ndim))
    order.insert(destination % x.ndim, order.pop(source % x.ndim))
    return x.permute(*order)


def _t(x: Any) -> Any:
    return x.transpose(0, 1)


def _attribute(x: Any, name: str) -> Any:
    if name in ("T", "mT"):
        return x.transpose(-1, -2)
    return x if name == "data" else NotImplemented


def _roll(x: Any, shifts: Any, dims: Any) -> Any:
    for shift, dim in zip(flat([shifts]), flat([dims]), strict=True):
        axis, size = dim % x.ndim, x.shape[dim]
        if shift % size:
            cut = size - shift % size
            x = torch.cat([x.narrow(axis, cut, size - cut), x.narrow(axis, 0, cut)], axis)
    return x


def _pixel_shuffle(x: Any, upscale_factor: int) -> Any:
    _, c, h, w = x.shape
    factor = upscale_factor
    blocks = x.reshape(-1, c // factor**2, factor, factor, h, w).permute(0, 1, 4, 2, 5, 3)
    return blocks.reshape(-1, c // factor**2, h * factor, w * factor)


def _pixel_unshuffle(x: Any, downscale_factor: int) -> Any:
    _, c, h, w = x.shape
    factor = downscale_factor
    blocks = x.reshape(-1, c, h // factor, factor, w // factor, factor).permute(0, 1, 3, 5, 2, 4)
    return blocks.reshape(-1, c * factor**2, h // factor, w // factor)


def _channel_shuffle(x: Any, groups: int) -> Any:
    _, c, h, w = x.shape
    return x.reshape(-1, groups, c // groups, h, w).transpose(1, 2).reshape(-1, c, h, w)


def _for_one(factory: Callable[..., Any]) -> Rewrite:
    def make(*args: Any, **kwargs: Any) -> Any:
        """Make a tensor that is the same for every image once; what reads it broadcasts."""
        sizes = fx.node.map_aggregate((args, kwargs), lambda leaf: 1 if is_batch_size(leaf) else leaf)
        return factory(*sizes[0], **sizes[1])

    return make


def _assert(condition: Any, message: str) -> None:
    """Sizes are plain numbers, and what depends on the batch is not promised."""


MOVES: dict[Any, Rewrite] = {
    "expand_as": _expand_as,
    "repeat": _repeat,
    "tile": _repeat,
    torch.tile: _repeat,
    "unbind": _unbind,
    torch.unbind: _unbind,
    "select": _select,
    torch.select: _select,
    "narrow": _narrow,
    torch.narrow: _narrow,
    torch.stack: _stack,
    "swapaxes": _swap,
    "swapdims": _swap,
    torch.swapaxes: _swap,
    torch.swapdims: _swap,
    torch.movedim: _movedim,
    "movedim": _movedim,
    "t": _t,
    torch.t: _t,
    getattr: _attribute,
    torch.roll: _roll,
    "roll": _roll,
    F.pixel_shuffle: _pixel_shuffle,
    F.pixel_unshuffle: _pixel_unshuffle,
    torch.channel_shuffle: _channel_shuffle,
    F.channel_shuffle: _channel_shuffle,
    torch.native_channel_shuffle: _channel_shuffle,
    torch._assert: _assert,
    torch.zeros: _for_one(torch.zeros),
    torch.ones: _for_one(torch.ones),
    torch.full: _for_one(torch.full),
}
