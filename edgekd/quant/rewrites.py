"""Operations that have no integer kernel of their own, written as operations that have one.

Each rewrite is a function of the arguments of the operation that it stands for. Sizes of its inputs are plain
numbers, what it returns is traced like the network itself. One that returns ``NotImplemented`` declines: the
operation stays as it is, and placement says whether a rule speaks of it.
"""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

Rewrite = Callable[..., Any]

REWRITES: dict[Any, Rewrite] = {}
"""By function, or by name of a method."""

_RESHAPES = ("view", "reshape", "flatten", torch.reshape, torch.flatten)
_LIKE = ("view_as", "reshape_as", "unflatten", torch.unflatten)


def is_reshape(target: Any, args: Sequence[Any]) -> bool:
    """Whether an operation is a reshape whose target shape depends on the batch."""
    if target in _LIKE:
        return True
    return target in _RESHAPES and any(isinstance(arg, fx.Proxy) for arg in _flat(args[1:]))


def as_shape(first: Tensor, second: Tensor) -> tuple[int, ...]:
    """Return a shape for every batch size from those for two, with -1 where they differ."""
    return tuple(a if a == b else -1 for a, b in zip(first.shape, second.shape, strict=True))


def apply_to_rows(x: Any, layer: str, features: int) -> Any:
    """Call a linear layer on rows (n, features): that is QGemm, with an integer bias."""
    rows = x.reshape(-1, x.shape[-1])
    return x.tracer.create_proxy("call_module", layer, (rows,), {}).reshape(*x.shape[:-1], features)


def _rewrites(*targets: Any) -> Callable[[Rewrite], Rewrite]:
    def add(rewrite: Rewrite) -> Rewrite:
        REWRITES.update(dict.fromkeys(targets, rewrite))
        return rewrite

    return add


def _flat(values: Sequence[Any]) -> list[Any]:
    return [item for value in values for item in (value if isinstance(value, tuple | list) else (value,))]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def is_batch_size(value: Any) -> bool:
    """Whether a value is no tensor but a number that depends on the batch."""
    return isinstance(value, fx.Proxy) and not isinstance(value._values[0], Tensor)  # type: ignore[attr-defined]


# Elementwise


@_rewrites(F.hardsigmoid)
def _hard_sigmoid(x: Any) -> Any:
    return F.relu6(x + 3.0) * (1.0 / 6.0)


@_rewrites(F.hardswish)
def _hard_swish(x: Any) -> Any:
    return x * (F.relu6(x + 3.0) * (1.0 / 6.0))


@_rewrites(F.silu)
def _silu(x: Any) -> Any:
    return x * F.sigmoid(x)


@_rewrites(torch.tanh, F.tanh, "tanh")
def _tanh(x: Any) -> Any:
    return F.sigmoid(x * 2.0) * 2.0 + -1.0


@_rewrites(F.glu)
def _glu(x: Any, dim: int = -1) -> Any:
    value, gate = torch.chunk(x, 2, dim=dim)
    return value * F.sigmoid(gate)


@_rewrites(F.prelu, torch.prelu)
def _prelu(x: Any, weight: Any) -> Any:
    slope = x.tracer.weights(weight)
    if slope is None:
        return NotImplemented
    return F.relu(x) + F.relu(x * -1.0) * (weight * -1.0).reshape(-1, *[1] * (x.ndim - 2))


@_rewrites(torch.abs, "abs")
def _abs(x: Any) -> Any:
    return F.relu(x) + F.relu(x * -1.0)


@_rewrites(torch.neg, operator.neg, "neg")
def _neg(x: Any) -> Any:
    return NotImplemented if is_batch_size(x) else x * -1.0


@_rewrites(torch.sub, operator.sub, "sub")
def _sub(a: Any, b: Any, *, alpha: float = 1) -> Any:
    if is_batch_size(a) or is_batch_size(b):
        return NotImplemented
    return a + (-alpha * b if _is_number(b) else b * (-1.0 * alpha))


@_rewrites(torch.rsub)
def _rsub(a: Any, b: Any) -> Any:
    return b + a * -1.0


@_rewrites(torch.div, operator.truediv, "div", "true_divide")
def _div(a: Any, b: Any, *, rounding_mode: str | None = None) -> Any:
    if rounding_mode is not None or is_batch_size(a) or is_batch_size(b):
        return NotImplemented
    if _is_number(b):
        return a * (1.0 / b)
    divisor = a.tracer.weights(b) if isinstance(a, fx.Proxy) else None
    return NotImplemented if divisor is None else a * (1.0 / divisor)


@_rewrites(torch.addcmul, "addcmul")
def _addcmul(x: Any, a: Any, b: Any, *, value: float = 1) -> Any:
    return x + (a * b if value == 1 else a * b * value)


@_rewrites(torch.square, "square")
def _square(x: Any) -> Any:
    return x * x


@_rewrites(torch.pow, operator.pow, "pow")
def _pow(x: Any, exponent: Any) -> Any:
    return x * x if _is_number(exponent) and exponent == 2 else NotImplemented


@_rewrites(torch.maximum, "maximum")
def _maximum(a: Any, b: Any) -> Any:
    return b + F.relu(a + b * -1.0)


@_rewrites(torch.minimum, "minimum")
def _minimum(a: Any, b: Any) -> Any:
    return b + F.relu(b + a * -1.0) * -1.0


@_rewrites(F.hardtanh)
def _hardtanh(x: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    return _clamp(x, min_val, max_val)


@_rewrites(torch.clamp, torch.clip, "clamp", "clip", "clamp_min", "clamp_max")
def _clamp(x: Any, min: Any = None, max: Any = None) -> Any:  # noqa: A002  as torch calls them
    if not all(bound is None or _is_number(bound) for bound in (min, max)):
        return NotImplemented
    if min is None:
        return F.relu(x * -1.0 + float(max)) * -1.0 + float(max)
    if min != 0:
        above = _clamp(x + -float(min), 0, None if max is None else max - min)
        return above + float(min)
    if max is None:
        return F.relu(x)
    return F.relu6(x) if max == 6 else F.relu6(x * (6.0 / max)) * (max / 6.0)


@_rewrites("contiguous", "clone", "detach", torch.clone, torch.detach)
def _same(x: Any, *_: Any, **__: Any) -> Any:
    return x


@_rewrites("to", "float", "type", "type_as")
def _to(x: Any, *args: Any, **kwargs: Any) -> Any:
    before = x._values[0]
    kinds = [arg.dtype if hasattr(arg, "dtype") else arg for arg in (*args, *kwargs.values())]
    dtypes = [kind for kind in kinds if isinstance(kind, torch.dtype)]
    return x if before.dtype == torch.float32 and set(dtypes) <= {torch.float32} else NotImplemented


# Layers whose weights are handed to a function


def _key(function: str, *values: Any) -> Any:
    return function, *(id(value) if isinstance(value, Tensor) else str(value) for value in values)


def _own_layer(x: Any, layer: nn.Module, weights: dict[str, Any], key: Any) -> Any:
    for name, value in weights.items():
        if value is not None and name.startswith("running"):
            layer.register_buffer(name, value)
        elif value is not None:
            parameter = value if isinstance(value, nn.Parameter) else nn.Parameter(value.detach().clone())
            layer.register_parameter(name, parameter)
    return x.tracer.call_added(layer, x, key=key)


def _tensors(x: Any, *values: Any) -> list[Tensor | None] | None:
    """Return the weights behind ``values``; None if one of them depends on the input."""
    found = [None if value is None else x.tracer.weights(value) for value in values]
    wanting = any(value is not None and tensor is None for value, tensor in zip(values, found, strict=True))
    return None if wanting else found


@_rewrites(F.linear)
def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    found = _tensors(x, weight, bias)
    if found is None:
        return NotImplemented
    w, b = found
    assert w is not None
    if x.ndim > 2:
        rows = F.linear(x.reshape(-1, x.shape[-1]), weight, bias)
        return rows.reshape(*x.shape[:-1], w.shape[0])
    layer = nn.Linear(w.shape[1], w.shape[0], bias=b is not None)
    return _own_layer(x, layer, {"weight": w, "bias": b}, _key("linear", w, b))


def _convolution(kind: type[nn.Conv1d | nn.Conv2d]) -> Rewrite:
    def convolve(
        x: Any,
        weight: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Any:
        found = _tensors(x, weight, bias)
        if found is None:
            return NotImplemented
        w, b = found
        assert w is not None
        size: Any = tuple(w.shape[2:])
        layer = kind(
            w.shape[1] * groups, w.shape[0], size, stride, padding, dilation, groups, bias=b is not None
        )
        key = _key(kind.__name__, w, b, stride, padding, dilation, groups)
        return _own_layer(x, layer, {"weight": w, "bias": b}, key)

    return convolve


REWRITES |= {kind: _convolution(nn.Conv1d) for kind in (F.conv1d, torch.conv1d)}
REWRITES |= {kind: _convolution(nn.Conv2d) for kind in (F.conv2d, torch.conv2d)}


@_rewrites(F.batch_norm)
def _batch_norm(
    x: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: Any = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    found = _tensors(x, running_mean, running_var, weight, bias)
    if found is None or found[0] is None or found[1] is None:
        return NotImplemented
    mean, variance, gain, shift = found
    assert mean is not None
    kind = nn.BatchNorm2d if x.ndim == 4 else nn.BatchNorm1d
    layer = kind(len(mean), eps=eps, momentum=momentum)
    weights = {"running_mean": mean, "running_var": variance, "weight": gain, "bias": shift}
    return _own_layer(x, layer, weights, _key("batch_norm", *found))


@_rewrites(F.layer_norm)
def _layer_norm(x: Any, shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    found = _tensors(x, weight, bias)
    if found is None:
        return NotImplemented
    layer = nn.LayerNorm(list(shape), eps=eps)
    return _own_layer(x, layer, {"weight": found[0], "bias": found[1]}, _key("layer_norm", *found, shape, eps))


@_rewrites(F.group_norm)
def _group_norm(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Normalize as LayerNorm does, then scale each channel by a depthwise convolution of one pixel."""
    found = _tensors(x, weight, bias)
    if found is None:
        return NotImplemented
    gain, shift = found
    channels = x.shape[1]
    rows = x.reshape(-1, groups, x[0].numel() // groups)
    normal = F.layer_norm(rows, (rows.shape[-1],), eps=eps).reshape(-1, *x.shape[1:])
    if gain is None:
        return normal
    if x.ndim != 4:
        return NotImplemented
    return F.conv2d(normal, gain.reshape(channels, 1, 1, 1), shift, groups=channels)


@_rewrites(F.instance_norm)
def _instance_norm(
    x: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: Any = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if running_mean is not None:
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)
    return F.group_norm(x, x.shape[1], weight, bias, eps)


# Pools and means


@_rewrites(F.adaptive_avg_pool2d)
def _adaptive_avg_pool2d(x: Any, size: Any) -> Any:
    wanted = _sizes(size, x.shape[-2:])
    if wanted == (1, 1):
        return x.mean((2, 3), keepdim=True)
    kernel = _kernel(x.shape[-2:], wanted)
    return kernel if kernel is NotImplemented else _pool(F.avg_pool2d, x, kernel)


@_rewrites(F.adaptive_max_pool2d)
def _adaptive_max_pool2d(x: Any, size: Any, return_indices: bool = False) -> Any:
    kernel = _kernel(x.shape[-2:], _sizes(size, x.shape[-2:]))
    return NotImplemented if kernel is NotImplemented or return_indices else _pool(F.max_pool2d, x, kernel)


@_rewrites(F.adaptive_avg_pool1d)
def _adaptive_avg_pool1d(x: Any, size: Any) -> Any:
    if _sizes(size, x.shape[-1:]) == (1,):
        return x.mean(2, keepdim=True)
    return F.adaptive_avg_pool2d(x.unsqueeze(2), (1, *_sizes(size, x.shape[-1:]))).squeeze(2)


@_rewrites(F.avg_pool1d, torch.avg_pool1d)
def _avg_pool1d(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, count_include_pad: bool = True
) -> Any:
    (size,), (step,), (pad,) = (_flat([value]) for value in (kernel_size, stride or kernel_size, padding))
    pooled = F.avg_pool2d(x.unsqueeze(2), (1, size), (1, step), (0, pad), ceil_mode, count_include_pad)
    return pooled.squeeze(2)


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


@_rewrites(torch.mean, "mean")
def _mean(x: Any, dim: Any = None, keepdim: bool = False, **options: Any) -> Any:
    axes = _axes(x, dim)
    if x.ndim > 2 and axes == list(range(2, x.ndim)):
        return NotImplemented
    return _reduce(lambda rows: rows.mean(2, keepdim=False), x, axes, keepdim)


@_rewrites(torch.sum, "sum")
def _sum(x: Any, dim: Any = None, keepdim: bool = False, **options: Any) -> Any:
    count = math.prod(x.shape[axis] for axis in _axes(x, dim)) if 0 not in _axes(x, dim) else 0
    return x.mean(dim, keepdim=keepdim) * float(count) if count else NotImplemented


@_rewrites(torch.amax, "amax")
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


# Moves


@_rewrites("expand_as")
def _expand_as(x: Any, other: Any) -> Any:
    return x.expand(*other.shape)


@_rewrites("repeat", "tile", torch.tile)
def _repeat(x: Any, *counts: Any) -> Any:
    sizes = _flat(counts)
    if len(sizes) != x.ndim or any(x.shape[i] != 1 for i, count in enumerate(sizes) if is_batch_size(count) or count != 1):
        return NotImplemented
    return x.expand(*(count if is_batch_size(count) or count != 1 else -1 for count in sizes))


@_rewrites("unbind", torch.unbind)
def _unbind(x: Any, dim: int = 0) -> Any:
    axis = dim % x.ndim
    return tuple(x[(*[slice(None)] * axis, index)] for index in range(x.shape[axis]))


@_rewrites("select", torch.select)
def _select(x: Any, dim: int, index: int) -> Any:
    return x[(*[slice(None)] * (dim % x.ndim), index)]


@_rewrites("narrow", torch.narrow)
def _narrow(x: Any, dim: int, start: int, length: int) -> Any:
    return x[(*[slice(None)] * (dim % x.ndim), slice(start, start + length))]


@_rewrites(torch.stack)
def _stack(tensors: Any, dim: int = 0) -> Any:
    axis = dim % (tensors[0].ndim + 1)
    return torch.cat([tensor.unsqueeze(axis) for tensor in tensors], axis)


@_rewrites("swapaxes", "swapdims", torch.swapaxes, torch.swapdims)
def _swap(x: Any, first: int, second: int) -> Any:
    return x.transpose(first, second)


@_rewrites(torch.movedim, "movedim")
def _movedim(x: Any, source: int, destination: int) -> Any:
    order = list(range(x.ndim))
    order.insert(destination % x.ndim, order.pop(source % x.ndim))
    return x.permute(*order)


@_rewrites("t", torch.t)
def _t(x: Any) -> Any:
    return x.transpose(0, 1)


@_rewrites(getattr)
def _attribute(x: Any, name: str) -> Any:
    if name in ("T", "mT"):
        return x.transpose(-1, -2)
    return x if name == "data" else NotImplemented


@_rewrites(torch.roll, "roll")
def _roll(x: Any, shifts: Any, dims: Any) -> Any:
    for shift, dim in zip(_flat([shifts]), _flat([dims]), strict=True):
        axis, size = dim % x.ndim, x.shape[dim]
        if shift % size:
            cut = size - shift % size
            x = torch.cat([x.narrow(axis, cut, size - cut), x.narrow(axis, 0, cut)], axis)
    return x


@_rewrites(F.pixel_shuffle)
def _pixel_shuffle(x: Any, upscale_factor: int) -> Any:
    _, c, h, w = x.shape
    factor = upscale_factor
    blocks = x.reshape(-1, c // factor**2, factor, factor, h, w).permute(0, 1, 4, 2, 5, 3)
    return blocks.reshape(-1, c // factor**2, h * factor, w * factor)


@_rewrites(F.pixel_unshuffle)
def _pixel_unshuffle(x: Any, downscale_factor: int) -> Any:
    _, c, h, w = x.shape
    factor = downscale_factor
    blocks = x.reshape(-1, c, h // factor, factor, w // factor, factor).permute(0, 1, 3, 5, 2, 4)
    return blocks.reshape(-1, c * factor**2, h // factor, w // factor)


@_rewrites(torch.channel_shuffle, F.channel_shuffle, torch.native_channel_shuffle)
def _channel_shuffle(x: Any, groups: int) -> Any:
    _, c, h, w = x.shape
    return x.reshape(-1, groups, c // groups, h, w).transpose(1, 2).reshape(-1, c, h, w)


def _for_one(factory: Callable[..., Any]) -> Rewrite:
    def make(*args: Any, **kwargs: Any) -> Any:
        """Make a tensor that is the same for every image once; what reads it broadcasts."""
        sizes = fx.node.map_aggregate((args, kwargs), lambda leaf: 1 if is_batch_size(leaf) else leaf)
        return factory(*sizes[0], **sizes[1])  # type: ignore[index,call-overload,misc]

    return make


REWRITES |= {factory: _for_one(factory) for factory in (torch.zeros, torch.ones, torch.full)}


@_rewrites(torch._assert)
def _assert(condition: Any, message: str) -> None:
    """Sizes are plain numbers, and what depends on the batch is not promised."""


# Attention


@_rewrites(torch.bmm, "bmm")
def _bmm(a: Any, b: Any) -> Any:
    return torch.matmul(a, b)


@_rewrites(F.scaled_dot_product_attention)
def _attention(
    q: Any,
    k: Any,
    v: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    if is_causal or enable_gqa:
        return NotImplemented
    scores = torch.matmul(q * (q.shape[-1] ** -0.5 if scale is None else scale), k.transpose(-2, -1))
    scores = scores if attn_mask is None else scores + attn_mask
    return torch.matmul(F.softmax(scores, dim=-1), v)


def attend_with(layer: nn.MultiheadAttention) -> Rewrite:
    """Return what a module of torch computes, for attention without masks."""

    def attend(query: Any, key: Any, value: Any, *options: Any, **named: Any) -> Any:
        masked = options[0] if options else named.get("key_padding_mask")
        masked = masked is not None or named.get("attn_mask") is not None or len(options) > 2
        if masked or named.get("is_causal"):
            return NotImplemented
        if layer.bias_k is not None or layer.add_zero_attn or query.ndim != 3:
            return NotImplemented
        inputs = [x if layer.batch_first else x.transpose(0, 1) for x in (query, key, value)]
        q, k, v = (_heads(x, layer, part) for part, x in enumerate(inputs))
        scores = F.softmax(torch.matmul(q * layer.head_dim**-0.5, k.transpose(-2, -1)), dim=-1)
        mixed = torch.matmul(scores, v).transpose(1, 2).flatten(2)
        result = F.linear(mixed, layer.out_proj.weight, layer.out_proj.bias)
        return result if layer.batch_first else result.transpose(0, 1), scores.mean(1)

    return attend


def _heads(x: Any, layer: nn.MultiheadAttention, part: int) -> Any:
    """Project to query, key or value: (n, heads, tokens, features)."""
    rows = slice(part * layer.embed_dim, (part + 1) * layer.embed_dim)
    packed = layer.in_proj_weight
    own = (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)[part]
    weight = own if packed is None else packed[rows]
    bias = None if layer.in_proj_bias is None else layer.in_proj_bias[rows]
    features = F.linear(x, weight, bias)
    return features.reshape(*x.shape[:2], layer.num_heads, layer.head_dim).transpose(1, 2)


# One letter per axis, as attention and mixers use it


@_rewrites(torch.einsum)
def _einsum(equation: str, *operands: Any) -> Any:
    """Write a product of two tensors as one matrix product: (batch, own, summed) @ (batch, summed, own)."""
    operands = tuple(operands[0]) if isinstance(operands[0], tuple | list) else operands
    inputs, _, output = equation.replace(" ", "").partition("->")
    names = inputs.split(",")
    if len(names) != 2 or "." in equation or not output:
        return NotImplemented
    left, right = names
    if set(left) & set(right) & set(output) != {n for n in left if n in right and n in output}:
        return NotImplemented
    shared = [n for n in output if n in left and n in right]
    summed = [n for n in left if n in right and n not in output]
    rows, columns = ([n for n in output if n in side and n not in shared] for side in names)
    if sorted(left) != sorted(shared + rows + summed) or sorted(right) != sorted(shared + summed + columns):
        return NotImplemented
    size = {n: s for side, x in zip(names, operands, strict=True) for n, s in zip(side, x.shape, strict=True)}

    def flat(x: Any, side: str, *groups: list[str]) -> Any:
        moved = x.permute(*(side.index(n) for group in (shared, *groups) for n in group))
        return moved.reshape(*(size[n] for n in shared), *(math.prod(size[n] for n in g) for g in groups))

    product = torch.matmul(flat(operands[0], left, rows, summed), flat(operands[1], right, summed, columns))
    made = shared + rows + columns
    return product.reshape(*(size[n] for n in made)).permute(*(made.index(n) for n in output))
