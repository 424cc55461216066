"""Layers whose weights are handed to a function, as layers that own them."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from edgekd.quant.rewriting.rewrite import Rewrite


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
    layer = kind(len(mean), eps=eps, momentum=momentum, affine=gain is not None)
    weights = {"running_mean": mean, "running_var": variance, "weight": gain, "bias": shift}
    return _own_layer(x, layer, weights, _key("batch_norm", *found))


def _layer_norm(x: Any, shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    found = _tensors(x, weight, bias)
    if found is None:
        return NotImplemented
    layer = nn.LayerNorm(list(shape), eps=eps, elementwise_affine=found[0] is not None)
    return _own_layer(
        x, layer, {"weight": found[0], "bias": found[1]}, _key("layer_norm", *found, shape, eps)
    )


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


LAYERS: dict[Any, Rewrite] = {
    F.linear: _linear,
    F.batch_norm: _batch_norm,
    F.layer_norm: _layer_norm,
    F.group_norm: _group_norm,
    F.instance_norm: _instance_norm,
    F.conv1d: _convolution(nn.Conv1d),
    torch.conv1d: _convolution(nn.Conv1d),
    F.conv2d: _convolution(nn.Conv2d),
    torch.conv2d: _convolution(nn.Conv2d),
}
