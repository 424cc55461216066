"""From nodes of a traced network to ONNX operator types: the words that the rule table speaks."""

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from edgekd.errors import SchemeError
from edgekd.zoo.pixels import PixelGrid

_MODULES: dict[type[nn.Module], str] = {
    PixelGrid: "Pixels",
    nn.Conv1d: "Conv",
    nn.Conv2d: "Conv",
    nn.Linear: "Gemm",
    nn.BatchNorm1d: "BatchNormalization",
    nn.BatchNorm2d: "BatchNormalization",
    nn.ReLU: "Relu",
    nn.ReLU6: "Clip",
    nn.MaxPool2d: "MaxPool",
    nn.AvgPool2d: "AveragePool",
    nn.AdaptiveAvgPool1d: "GlobalAveragePool",
    nn.AdaptiveAvgPool2d: "GlobalAveragePool",
    nn.Flatten: "Flatten",
    nn.Dropout: "Identity",
    nn.Identity: "Identity",
    nn.Sigmoid: "Sigmoid",
    nn.Hardsigmoid: "HardSigmoid",
    nn.Hardswish: "HardSwish",
    nn.SiLU: "Silu",
    nn.LayerNorm: "LayerNormalization",
    nn.Softmax: "Softmax",
    nn.GELU: "Gelu",
}

_FUNCTIONS: dict[Callable[..., Any], str] = {
    operator.add: "Add",
    operator.iadd: "Add",
    torch.add: "Add",
    operator.mul: "Mul",
    operator.imul: "Mul",
    torch.mul: "Mul",
    torch.matmul: "MatMul",
    operator.matmul: "MatMul",
    torch.relu: "Relu",
    F.relu: "Relu",
    F.relu6: "Clip",
    torch.sigmoid: "Sigmoid",
    F.sigmoid: "Sigmoid",
    F.hardsigmoid: "HardSigmoid",
    F.hardswish: "HardSwish",
    F.silu: "Silu",
    torch.softmax: "Softmax",
    F.softmax: "Softmax",
    F.gelu: "Gelu",
    F.layer_norm: "LayerNormalization",
    F.max_pool2d: "MaxPool",
    F.avg_pool2d: "AveragePool",
    F.adaptive_avg_pool2d: "GlobalAveragePool",
    F.dropout: "Identity",
    F.conv2d: "Conv",
    F.linear: "Gemm",
    F.pad: "Pad",
    torch.mean: "ReduceMean",
    torch.flatten: "Flatten",
    torch.reshape: "Reshape",
    torch.permute: "Transpose",
    torch.transpose: "Transpose",
    torch.cat: "Concat",
    torch.concat: "Concat",
    torch.chunk: "Split",
    torch.split: "Split",
    operator.getitem: "Slice",
    getattr: "Shape",
}

_METHODS: dict[str, str] = {
    "add": "Add",
    "add_": "Add",
    "mul": "Mul",
    "mul_": "Mul",
    "matmul": "MatMul",
    "relu": "Relu",
    "relu_": "Relu",
    "sigmoid": "Sigmoid",
    "softmax": "Softmax",
    "mean": "ReduceMean",
    "flatten": "Flatten",
    "reshape": "Reshape",
    "view": "Reshape",
    "squeeze": "Reshape",
    "unsqueeze": "Reshape",
    "permute": "Transpose",
    "transpose": "Transpose",
    "chunk": "Split",
    "split": "Split",
    "contiguous": "Identity",
    "size": "Shape",
}


def onnx_op(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    """Return the ONNX operator type of a node of a traced network.

    Args:
        node: A call of a module, a function or a method.
        modules: The network's named modules.

    Raises:
        SchemeError: If no rule speaks of the operation; the message names the module path.
    """
    if node.op == "call_module":
        module = modules[str(node.target)]
        found = next((op for kind, op in _MODULES.items() if isinstance(module, kind)), None)
        spoken = type(module).__name__
    elif node.op == "call_function":
        found = _FUNCTIONS.get(node.target)  # type: ignore[arg-type]
        spoken = getattr(node.target, "__name__", str(node.target))
    else:
        found = _METHODS.get(str(node.target))
        spoken = f"Tensor.{node.target}"
    if found is None:
        what = f"no quantization rule for {spoken}"
        raise SchemeError(
            what, where=module_path(node), fix=f"use one of: {', '.join(supported_operations())}"
        )
    if node.target is F.pad:
        value = node.args[3] if len(node.args) > 3 else node.kwargs.get("value")
        if value:
            what = f"padding with {value} has no integer form"
            raise SchemeError(what, where=module_path(node), fix="pad with 0: every grid holds it")
    return found


def module_path(node: fx.Node) -> str:
    """Return where a node comes from, such as ``blocks.3.expand``, or ``(top level)``."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [str(value[0]) if isinstance(value, tuple) else str(key) for key, value in stack.items()]
    return paths[-1] if paths and paths[-1] else "(top level)"


def supported_operations() -> list[str]:
    """Return the ONNX operator types that placement knows, sorted."""
    return sorted({*_MODULES.values(), *_FUNCTIONS.values(), *_METHODS.values()} - {"Shape", "Identity"})
