"""Integer coverage: which operators of the optimised graph run on integers, and why the others do not."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekd.core.rules import explain_float

INTEGER_KERNELS = ("QLinear", "QGemm", "QAttention", "MatMulInteger", "ConvInteger")
_INNER_GRAPH = "it runs a graph of its own, which is not looked into"
_BORDER = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Fallback:
    """One operator that runs in float.

    Attributes:
        node: Its name, or the name of its result.
        op: Operator type.
        reason: What the rule table says about it.
    """

    node: str
    op: str
    reason: str


@dataclass(frozen=True)
class Coverage:
    """Attributes: ``integer_ops``: operators on integers; ``fallbacks``: all the others."""

    integer_ops: int
    fallbacks: tuple[Fallback, ...]


def coverage(optimized: onnx.ModelProto, tensors: Mapping[str, NDArray[Any]]) -> Coverage:
    """Classify every operator of an optimised graph.

    An operator is integer if it is an integer kernel, or if it moves integers only (a Slice of codes). A
    QuantizeLinear that reads a graph input and a DequantizeLinear that only feeds graph outputs are the
    border of the graph and count as neither; anywhere else they mean that something beside them is float,
    and count as such. So does an operator that holds a graph, an If or a Loop: its inside is not known.

    Args:
        optimized: The graph that runs.
        tensors: A value of every tensor that it computes, for the types.
    """
    inputs = {value.name for value in optimized.graph.input}
    read_by_nodes = {name for node in optimized.graph.node for name in node.input}
    types = {
        init.name: onnx.helper.tensor_dtype_to_np_dtype(init.data_type)
        for init in optimized.graph.initializer
    }
    types |= {name: value.dtype for name, value in tensors.items()}
    integer_ops = 0
    fallbacks = []
    for node in optimized.graph.node:
        if any(item.HasField("g") for item in node.attribute):
            fallbacks.append(Fallback(node.name or node.output[0], node.op_type, _INNER_GRAPH))
        elif node.op_type.startswith(INTEGER_KERNELS) or _moves_integers(node, types):
            integer_ops += 1
        elif not _is_border(node, inputs, read_by_nodes):
            fallbacks.append(Fallback(node.name or node.output[0], node.op_type, _reason(node)))
    return Coverage(integer_ops, tuple(fallbacks))


def _reason(node: onnx.NodeProto) -> str:
    if node.op_type in _BORDER:
        return "it stands between integers and an operator that runs in float"
    fused = [onnx.helper.get_attribute_value(item) for item in node.attribute if item.name == "activation"]
    operators = [node.op_type.removeprefix("Fused"), *(activation.decode() for activation in fused)]
    return "; or ".join(explain_float(op_type) for op_type in operators)


def _moves_integers(node: onnx.NodeProto, types: Mapping[str, np.dtype[Any]]) -> bool:
    if node.op_type in _BORDER:
        return False
    data = [types[name] for name in [*node.input, *node.output] if name in types]
    return bool(data) and not any(np.issubdtype(kind, np.floating) for kind in data)


def _is_border(node: onnx.NodeProto, inputs: set[str], read_by_nodes: set[str]) -> bool:
    if node.op_type == "QuantizeLinear":
        return node.input[0] in inputs
    return node.op_type == "DequantizeLinear" and node.output[0] not in read_by_nodes
