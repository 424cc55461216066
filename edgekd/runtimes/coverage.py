"""Integer coverage: which operators of the optimised graph run on integers, and why the others do not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekd.core.rules import explain_float, may_be_float

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
        listed: Whether it is on the closed list of operators that may be float, or stands between such a one
            and integers.
    """

    node: str
    op: str
    reason: str
    listed: bool = False


@dataclass(frozen=True)
class Coverage:
    """How much of a graph runs on integers.

    Attributes:
        integer_ops: Operators on integers.
        fallbacks: All the others.
        integer_time_share: Fraction of the time of one inference that is not spent in ``fallbacks``; None if
            it was not measured.
    """

    integer_ops: int
    fallbacks: tuple[Fallback, ...]
    integer_time_share: float | None = None

    @property
    def unlisted(self) -> tuple[Fallback, ...]:
        """The operators that run in float and are not on the closed list."""
        return tuple(item for item in self.fallbacks if not item.listed)


def coverage(
    optimized: onnx.ModelProto, tensors: Mapping[str, NDArray[Any]], times: Sequence[float] = ()
) -> Coverage:
    """Classify every operator of an optimised graph.

    An operator is integer if it is an integer kernel, or if it moves integers only (a Slice of codes). A
    QuantizeLinear that reads a graph input and a DequantizeLinear that only feeds graph outputs are the
    border of the graph and count as neither; anywhere else they mean that something beside them is float,
    and count as such. So does an operator that holds a graph, an If or a Loop: its inside is not known.

    Args:
        optimized: The graph that runs.
        tensors: A value of every tensor that it computes, for the types.
        times: How long each operator takes, in any unit; empty if that was not measured.
    """
    inputs = {value.name for value in optimized.graph.input}
    read_by_nodes = {name for node in optimized.graph.node for name in node.input}
    types = {
        init.name: onnx.helper.tensor_dtype_to_np_dtype(init.data_type)
        for init in optimized.graph.initializer
    }
    types |= {name: value.dtype for name, value in tensors.items()}
    integer_ops, float_time = 0, 0.0
    fallbacks = []
    for index, node in enumerate(optimized.graph.node):
        inner = any(item.HasField("g") for item in node.attribute)
        if not inner and (node.op_type.startswith(INTEGER_KERNELS) or _moves_integers(node, types)):
            integer_ops += 1
        elif not _is_border(node, inputs, read_by_nodes):
            reason = _INNER_GRAPH if inner else _reason(node)
            listed = not inner and _is_listed(node, optimized.graph)
            fallbacks.append(Fallback(node.name or node.output[0], node.op_type, reason, listed))
            float_time += times[index] if times else 0.0
    share = 1 - float_time / sum(times) if sum(times) else None
    return Coverage(integer_ops, tuple(fallbacks), share)


def _is_listed(node: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    if node.op_type == "QuantizeLinear":
        beside = [other for other in graph.node if node.input[0] in other.output]
    elif node.op_type == "DequantizeLinear":
        beside = [other for other in graph.node if node.output[0] in other.input]
    else:
        beside = [node]
    return all(may_be_float(other.op_type) for other in beside)


def _reason(node: onnx.NodeProto) -> str:
    if node.op_type in _BORDER:
        return "it stands between integers and an operator that runs in float"
    fused = [onnx.helper.get_attribute_value(item) for item in node.attribute if item.name == "activation"]
    operators = [node.op_type.removeprefix("Fused"), *(activation.decode() for activation in fused)]
    return "; or ".join(explain_float(op_type) for op_type in operators)


def _moves_integers(node: onnx.NodeProto, types: Mapping[str, np.dtype[Any]]) -> bool:
    if node.op_type in _BORDER:
        return False
    if node.op_type == "Shape":
        return True  # it reads no number
    read = node.input[:1] if _resizes_to_nearest(node) else node.input  # its factors are float
    data = [types[name] for name in [*read, *node.output] if name in types]
    return bool(data) and not any(np.issubdtype(kind, np.floating) for kind in data)


def _resizes_to_nearest(node: onnx.NodeProto) -> bool:
    modes = [onnx.helper.get_attribute_value(item) for item in node.attribute if item.name == "mode"]
    return node.op_type == "Resize" and (modes or [b"nearest"]) == [b"nearest"]


def _is_border(node: onnx.NodeProto, inputs: set[str], read_by_nodes: set[str]) -> bool:
    if node.op_type == "QuantizeLinear":
        return node.input[0] in inputs
    return node.op_type == "DequantizeLinear" and node.output[0] not in read_by_nodes
