"""From nodes of a traced network to ONNX operator types: the words that the rule table speaks."""

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from edgekd.errors import SchemeError
from edgekd.quant.global_average import GlobalAverage, global_average
from edgekd.quant.pool_windows import both, leaves_a_window_out
from edgekd.zoo.pixels import PixelGrid

LINE = "line"
"""Key of ``node.meta``: the user's line that made a node."""

IN_EVAL = "identity_in_eval"
"""Attribute of a module that changes nothing once training is over, such as stochastic depth."""

_MODULES: dict[type[nn.Module], str] = {
    PixelGrid: "Pixels",
    nn.Conv1d: "Conv",
    nn.Conv2d: "Conv",
    nn.Linear: "Gemm",
    nn.BatchNorm1d: "BatchNormalization",
    nn.BatchNorm2d: "BatchNormalization",
    nn.ReLU: "Relu",
    nn.ReLU6: "Clip",
    nn.LeakyReLU: "LeakyRelu",
    nn.MaxPool2d: "MaxPool",
    nn.AvgPool2d: "AveragePool",
    GlobalAverage: "GlobalAveragePool",
    nn.AdaptiveAvgPool1d: "GlobalAveragePool",
    nn.AdaptiveAvgPool2d: "GlobalAveragePool",
    nn.Flatten: "Flatten",
    nn.Dropout: "Identity",
    nn.Identity: "Identity",
    nn.Sigmoid: "Sigmoid",
    nn.LayerNorm: "LayerNormalization",
    nn.Softmax: "Softmax",
    nn.GELU: "Gelu",
}

_FUNCTIONS: dict[Callable[..., Any], str] = {
    operator.add: "Add",
    torch.add: "Add",
    operator.mul: "Mul",
    torch.mul: "Mul",
    torch.multiply: "Mul",
    torch.matmul: "MatMul",
    operator.matmul: "MatMul",
    torch.relu: "Relu",
    F.relu: "Relu",
    F.relu6: "Clip",
    F.leaky_relu: "LeakyRelu",
    torch.sigmoid: "Sigmoid",
    F.sigmoid: "Sigmoid",
    torch.softmax: "Softmax",
    F.softmax: "Softmax",
    F.gelu: "Gelu",
    F.max_pool2d: "MaxPool",
    torch.max_pool2d: "MaxPool",
    F.avg_pool2d: "AveragePool",
    global_average: "GlobalAveragePool",
    F.adaptive_avg_pool1d: "GlobalAveragePool",
    F.adaptive_avg_pool2d: "GlobalAveragePool",
    F.pad: "Pad",
    F.interpolate: "Resize",
    torch.mean: "ReduceMean",
    torch.flatten: "Flatten",
    torch.reshape: "Reshape",
    torch.unflatten: "Reshape",
    torch.squeeze: "Squeeze",
    torch.unsqueeze: "Unsqueeze",
    torch.permute: "Transpose",
    torch.transpose: "Transpose",
    torch.cat: "Concat",
    torch.concat: "Concat",
    torch.chunk: "Split",
    torch.split: "Split",
    operator.getitem: "Slice",
}

_METHODS: dict[str, str] = {
    "add": "Add",
    "mul": "Mul",
    "multiply": "Mul",
    "matmul": "MatMul",
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "softmax": "Softmax",
    "mean": "ReduceMean",
    "flatten": "Flatten",
    "reshape": "Reshape",
    "view": "Reshape",
    "squeeze": "Squeeze",
    "unsqueeze": "Unsqueeze",
    "expand": "Expand",
    "permute": "Transpose",
    "transpose": "Transpose",
    "chunk": "Split",
    "split": "Split",
}

_POOLS = {
    "MaxPool": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "AveragePool": ("kernel_size", "stride", "padding", "ceil_mode"),
}
"""What says where the windows of a pool stand, in torch's order."""
_OPAQUE = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)
_GLOBAL_POOLS = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)


def is_known_layer(module: nn.Module) -> bool:
    """Whether a module is one operation; others are looked into while tracing."""
    if isinstance(module, _GLOBAL_POOLS) and module.output_size not in (1, (1,), (1, 1)):
        return False
    if isinstance(module, nn.AvgPool2d) and module.ceil_mode and module.count_include_pad:
        return False  # its last windows may be cut off
    if isinstance(module, _OPAQUE):
        return True
    own = type(module).__module__.startswith("torch.nn")  # a subclass may do something else
    return isinstance(module, PixelGrid) or (own and isinstance(module, tuple(_MODULES)))


def onnx_op(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    """Return the ONNX operator type of a node of a traced network.

    Args:
        node: A call of a module, a function or a method.
        modules: The network's named modules.

    Raises:
        SchemeError: If no rule speaks of the operation; the message names module path and line.
    """
    if is_size(node):
        return "Shape"
    if node.op == "call_module":
        module = modules[str(node.target)]
        found = next((op for kind, op in _MODULES.items() if isinstance(module, kind)), None)
        found = "Identity" if getattr(module, IN_EVAL, False) else found
        spoken = type(module).__name__
    elif node.op == "call_function":
        found = _FUNCTIONS.get(node.target)  # type: ignore[arg-type]
        spoken = getattr(node.target, "__name__", str(node.target))
    else:
        found = _METHODS.get(str(node.target))
        spoken = f"Tensor.{node.target}"
    if found is None:
        what = f"no quantization rule for {spoken}"
        raise SchemeError(what, where=place(node), fix=f"use one of: {', '.join(supported_operations())}")
    _check_arguments(node, found)
    if node.op == "call_module":
        _check_module(node, modules[str(node.target)])
    if found in _POOLS:
        _check_windows(node, **_pool_options(node, found, modules))
    return found


def is_product(node: fx.Node) -> bool:
    """Whether a node is a matrix product of two activations, as in attention; layers have modules."""
    if node.op == "call_method":
        return _METHODS.get(str(node.target)) == "MatMul"
    return node.op == "call_function" and _FUNCTIONS.get(node.target) == "MatMul"  # type: ignore[arg-type]


def is_size(node: fx.Node) -> bool:
    """Whether a node is no tensor but a size that depends on the batch."""
    values = node.meta.get("values")
    if values is None:
        return False
    parts = values[0] if isinstance(values[0], tuple | list) else (values[0],)
    return not any(isinstance(part, Tensor) for part in parts)


def _check_arguments(node: fx.Node, found: str) -> None:
    """Refuse the forms of an operation that have no integer kernel."""
    options = dict(node.kwargs)
    if node.target is F.pad:
        value = node.args[3] if len(node.args) > 3 else options.get("value")
        pooled = all(_is_max_pool(user) for user in node.users)  # there the lowest code does the same
        if value and not (value == -math.inf and pooled):
            what = f"padding with {value} has no integer form"
            raise SchemeError(what, where=place(node), fix="pad with 0: every grid holds it")
    if (
        found == "Resize"
        and (node.args[3] if len(node.args) > 3 else options.get("mode", "nearest")) != "nearest"
    ):
        what = "interpolation other than nearest has no integer form"
        raise SchemeError(what, where=place(node), fix='use F.interpolate(mode="nearest") or a convolution')
    if found == "GlobalAveragePool" and node.target in (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d):
        size = node.args[1] if len(node.args) > 1 else options.get("output_size")
        if size not in (1, (1,), [1], (1, 1), [1, 1]):
            what = f"an adaptive pool to {size} of a size that is no multiple of it has no integer form"
            raise SchemeError(
                what, where=place(node), fix="use an input size that it divides, or an AvgPool2d"
            )
    if found == "ReduceMean":
        what = "a mean over the batch has no integer form"
        values = node.meta.get("values")
        dims = node.args[1] if len(node.args) > 1 else options.get("dim")
        dims = dims if isinstance(dims, tuple | list) else (dims,)
        if values is not None and any(dim is None or dim == 0 for dim in dims):
            raise SchemeError(what, where=place(node), fix="take the mean over channels or pixels")

    if found == "AveragePool" and (node.args[6] if len(node.args) > 6 else options.get("divisor_override")):
        raise _divides_otherwise(node)


def _check_module(node: fx.Node, module: nn.Module) -> None:
    """Refuse the forms of a layer that have no integer kernel."""
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is None:
        what = "a BatchNorm without running statistics makes an image depend on the others of its batch"
        raise SchemeError(what, where=place(node), fix="train it with track_running_stats=True")
    if isinstance(module, nn.AvgPool2d) and module.divisor_override:
        raise _divides_otherwise(node)


def _pool_options(node: fx.Node, found: str, modules: dict[str, nn.Module]) -> dict[str, Any]:
    names = _POOLS[found]
    if node.op == "call_module":
        return {name: getattr(modules[str(node.target)], name) for name in names}
    given = {**dict(zip(names, node.args[1:], strict=False)), **node.kwargs}
    return {name: given[name] for name in names if name in given}


def _check_windows(
    node: fx.Node,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> None:
    """Refuse a pool that torch and ONNX give different sizes."""
    read = node.args[0]
    values = read.meta.get("values") if isinstance(read, fx.Node) else None
    if not ceil_mode or values is None:
        return
    axes = (both(value) for value in (kernel_size, stride or kernel_size, padding, dilation))
    for size, kernel, step, pad, apart in zip(values[0].shape[-2:], *axes, strict=True):
        if leaves_a_window_out(size, apart * (kernel - 1) + 1, step, pad):
            what = (
                f"with ceil_mode a window would start behind the {size} pixels: torch leaves it out, ONNX not"
            )
            raise SchemeError(what, where=place(node), fix="leave ceil_mode out, or pad or crop the input")


def _divides_otherwise(node: fx.Node) -> SchemeError:
    what = "an average pool with divisor_override has no integer form"
    return SchemeError(what, where=place(node), fix="multiply the pooled tensor by a constant instead")


def _is_max_pool(node: fx.Node) -> bool:
    return node.op == "call_function" and _FUNCTIONS.get(node.target) == "MaxPool"  # type: ignore[arg-type]


def place(node: fx.Node) -> str:
    """Return where a node comes from, for a message: its module, and the line of the forward pass."""
    line = node.meta.get(LINE)
    return f"{module_path(node)}: {line}" if line else module_path(node)


def module_path(node: fx.Node) -> str:
    """Return where a node comes from, such as ``blocks.3.expand``, or ``(top level)``."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [str(value[0]) if isinstance(value, tuple) else str(key) for key, value in stack.items()]
    return paths[-1] if paths and paths[-1] else "(top level)"


def supported_operations() -> list[str]:
    """Return the ONNX operator types that placement knows, sorted."""
    return sorted({*_MODULES.values(), *_FUNCTIONS.values(), *_METHODS.values()} - {"Shape", "Identity"})
