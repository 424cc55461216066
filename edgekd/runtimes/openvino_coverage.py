"""Integer coverage of what OpenVINO runs, from the graph and the times that it shows of itself."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from edgekd.core.rules import explain_float, may_be_float
from edgekd.errors import BuildError
from edgekd.runtimes.coverage import Coverage, Fallback
from edgekd.runtimes.lost_time import Kind, NodeCost

_ENDS = ("Input", "Output")
_SHAPE = "ShapeOf"  # it reads no number
_CONSTANT = "Const"
_BORDERS = ("Convert", "Reorder", "Transpose")
_ONNX_NAMES = {
    "Convolution": "Conv",
    "GroupConvolution": "Conv",
    "FullyConnected": "Gemm",
    "Eltwise": "Add",
    "Pooling": "AveragePool",
    "Reduce": "GlobalAveragePool",
    "MVN": "LayerNormalization",
    "RMS": "LayerNormalization",
    "SoftMax": "Softmax",
}
"""Operators that OpenVINO calls otherwise than ONNX does."""

_FLOATS = ("f64", "f32", "f16", "bf16")
_FLOAT_KERNELS = tuple(f"_{kind}" for kind in _FLOATS)
_FUSION = "Subgraph"
_FUSED_ON_INTEGERS = (
    "Clip",
    "Relu",
    "QuantizeLinear",
    "DequantizeLinear",
    "Pad",
    "Transpose",
    "Reshape",
    "Slice",
)
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class ShownNode:
    """A node of the graph that runs.

    Attributes:
        name: Its name.
        op: Its type, as OpenVINO calls it.
        precision: Type of what it computes with, such as ``u8``.
        kernel: The kernel that was chosen.
        reads: Names of the nodes that it reads.
        stands_for: Names that the file has for the operators in it.
    """

    name: str
    op: str
    precision: str
    kernel: str
    reads: tuple[str, ...]
    stands_for: tuple[str, ...] = ()

    @property
    def onnx_name(self) -> str:
        """What ONNX calls its operator."""
        return _ONNX_NAMES.get(self.op, self.op)

    @property
    def is_float(self) -> bool:
        """Whether it computes in float: its precision is that of what it reads, its kernel says the rest."""
        return self.precision in _FLOATS or self.kernel.lower().endswith(_FLOAT_KERNELS)


def shown_nodes(shown: bytes) -> tuple[ShownNode, ...]:
    """Return what runs for each image, from what the board says of an opened model; constants are none.

    Raises:
        BuildError: If it cannot be read: a device may be anybody's.
    """
    try:
        told = json.loads(shown)
        nodes = [_node(told[index]) for index in range(len(told))]
    except (ValueError, TypeError, LookupError, RecursionError, AttributeError) as e:
        what = "what OpenVINO shows of its graph cannot be read"
        raise BuildError(what, fix="is the device the one that you mean? run the command again") from e
    constant: set[str] = set()
    for node in nodes:  # they are in the order in which they run
        if node.op == _CONSTANT or (node.reads and constant.issuperset(node.reads)):
            constant.add(node.name)
    return tuple(node for node in nodes if node.name not in constant)


def openvino_coverage(
    nodes: Sequence[ShownNode], times_us: Mapping[str, float], op_types: Mapping[str, str] = _NOTHING
) -> Coverage:
    """Classify every node that runs.

    A node is integer if it computes with integers. One that fuses several operators is not if one of them has
    no integer form: it computes that in float, between its integer ends. A change of type or layout at an end
    of the graph counts as neither; anywhere else it means that something beside it is float.

    Args:
        nodes: From :func:`shown_nodes`.
        times_us: Microseconds by name; empty if they were not measured.
        op_types: Types of the file's operators by their names and by those of their results.
    """
    kinds = {node.name: _kind(node) for node in nodes}
    inputs = {node.name for node in nodes if node.op == "Input"}
    ends = inputs | {name for node in nodes if node.op == "Output" for name in node.reads}
    total = sum(times_us.get(node.name, 0.0) for node in nodes)
    fallbacks, costs, integers, float_time = [], [], 0, 0.0
    for node in nodes:
        if node.op in (*_ENDS, _SHAPE):
            continue
        share = times_us.get(node.name, 0.0) / total if total else None
        reason, inside = "", _float_inside(node, op_types)
        if inside:
            reason = f"OpenVINO computes it in float, between integers; {explain_float(inside)}"
            fallbacks.append(Fallback(node.name, inside, reason, may_be_float(inside)))
            float_time += share or 0.0
        elif not node.is_float:
            integers += 1
        elif kinds[node.name] == "border" and (node.name in ends or inputs & set(node.reads)):
            pass
        else:
            reason = _why_float(node)
            listed = may_be_float(node.onnx_name)
            fallbacks.append(Fallback(node.name, node.onnx_name, reason, listed))
            float_time += share or 0.0
        costs.append(
            NodeCost(
                node=node.name, op=node.onnx_name, kind=kinds[node.name], time_share=share, reason=reason
            )
        )
    costs.sort(key=lambda cost: -(cost.time_share or 0.0))
    return Coverage(integers, tuple(fallbacks), 1 - float_time if total else None, nodes=tuple(costs))


def _float_inside(node: ShownNode, op_types: Mapping[str, str]) -> str:
    """Return the type of an operator without an integer form in a node that fuses several; else nothing."""
    inside = [op_types[name] for name in node.stands_for if name in op_types]
    return next((kind for kind in inside if kind not in _FUSED_ON_INTEGERS), "") if node.op == _FUSION else ""


def _node(item: Mapping[str, Any]) -> ShownNode:
    return ShownNode(
        name=str(item["name"]),
        op=str(item["layerType"]),
        precision=str(item["runtimePrecision"]).lower(),
        kernel=str(item.get("primitiveType", "")),
        reads=tuple(map(str, item["reads"])),
        stands_for=tuple(str(item.get("originalLayersNames", "")).split(",")),
    )


def _kind(node: ShownNode) -> Kind:
    if node.op in _BORDERS:
        return "border"
    return "float" if node.is_float else "integer"


def _why_float(node: ShownNode) -> str:
    if node.op in _BORDERS:
        return "it stands between integers and an operator that runs in float"
    return f"OpenVINO chose {node.kernel or node.precision}; {explain_float(node.onnx_name)}"
