"""Integer coverage: which operators of the optimised graph run on integers, and why the others do not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekd.core.rules import explain_float, may_be_float, rule, rules_for
from edgekd.lower.lint import LintFinding
from edgekd.runtimes.lost_time import Kind, NodeCost, islands, name_of_node

INTEGER_KERNELS = ("QLinear", "QGemm", "QAttention", "MatMulInteger", "ConvInteger")
_INNER_GRAPH = "it runs a graph of its own, which is not looked into"
_BORDER = ("QuantizeLinear", "DequantizeLinear")
_LAYOUT = ("Transpose", "ReorderInput", "ReorderOutput")
_LAYOUT_CHANGE = (
    "integer convolutions run channels last, and where that begins or ends is a copy: at images that come "
    "channels first, at a reshape behind the last pool, at the network's own transposes"
)
_NOTHING: Mapping[str, LintFinding] = MappingProxyType({})


CoverageSource = Literal["engine", "builder", "file"]


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
        source: What says so: the engine that runs, its builder, or only the quantizers of its file.
        nodes: Every operator and what it costs, the most expensive first; empty where a runtime does not say.
    """

    integer_ops: int
    fallbacks: tuple[Fallback, ...]
    integer_time_share: float | None = None
    source: CoverageSource = "engine"
    nodes: tuple[NodeCost, ...] = field(default=(), compare=False)  # measured anew each time

    @property
    def border_time_share(self) -> float | None:
        """Fraction of the time at borders, between floats and at the ends of the graph; None as above."""
        shares = [cost.time_share for cost in self.nodes if cost.kind == "border"]
        known = [share for share in shares if share is not None]
        return None if self.integer_time_share is None or len(known) < len(shares) else float(sum(known))

    @property
    def unlisted(self) -> tuple[Fallback, ...]:
        """The operators that run in float and are not on the closed list."""
        return tuple(item for item in self.fallbacks if not item.listed)


def coverage(
    optimized: onnx.ModelProto,
    tensors: Mapping[str, NDArray[Any]],
    times: Sequence[float] = (),
    mistakes: Mapping[str, LintFinding] = _NOTHING,
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
        mistakes: What the lint says of an operator, by its first result.
    """
    graph, types = optimized.graph, _types(optimized, tensors)
    inputs = {value.name for value in graph.input}
    read_by_nodes = {name for node in graph.node for name in node.input}
    integer = [_runs_on_integers(node, types) for node in graph.node]
    kinds = [_kind(node, runs) for node, runs in zip(graph.node, integer, strict=True)]
    beside = islands(graph.node, kinds, times)
    total = sum(times)
    fallbacks, costs, float_time = [], [], 0.0
    for index, node in enumerate(graph.node):
        share = times[index] / total if total else None
        reason, change = "", ""
        if integer[index]:
            change = _LAYOUT_CHANGE if node.op_type in _LAYOUT else ""
        elif _is_border(node, inputs, read_by_nodes):
            change = f"{rule('pixels').advice} [pixels]" if node.input[0] in inputs else ""
        else:
            reason, change = _why_float(node, mistakes.get(node.output[0]))
            why = "; ".join(filter(None, (reason, change)))
            fallbacks.append(Fallback(name_of_node(node), node.op_type, why, _is_listed(node, graph)))
            float_time += share or 0.0
        costs.append(
            NodeCost(
                node=name_of_node(node),
                op=node.op_type,
                kind=kinds[index],
                time_share=share,
                island=beside[index],
                reason=reason,
                change=change,
            )
        )
    costs.sort(key=lambda cost: -(cost.time_share or 0.0))
    share = 1 - float_time if total else None
    return Coverage(sum(integer), tuple(fallbacks), share, nodes=tuple(costs))


def _is_listed(node: onnx.NodeProto, graph: onnx.GraphProto) -> bool:
    if _holds_graph(node):
        return False
    if node.op_type == "QuantizeLinear":
        beside = [other for other in graph.node if node.input[0] in other.output]
    elif node.op_type == "DequantizeLinear":
        beside = [other for other in graph.node if node.output[0] in other.input]
    else:
        beside = [node]
    return all(may_be_float(other.op_type) for other in beside)


def _types(optimized: onnx.ModelProto, tensors: Mapping[str, NDArray[Any]]) -> dict[str, np.dtype[Any]]:
    types = {
        init.name: onnx.helper.tensor_dtype_to_np_dtype(init.data_type)
        for init in optimized.graph.initializer
    }
    return types | {name: value.dtype for name, value in tensors.items()}


def _runs_on_integers(node: onnx.NodeProto, types: Mapping[str, np.dtype[Any]]) -> bool:
    kernel = node.op_type.startswith(INTEGER_KERNELS)
    return not _holds_graph(node) and (kernel or _moves_integers(node, types))


def _kind(node: onnx.NodeProto, integer: bool) -> Kind:
    if node.op_type in (*_BORDER, *_LAYOUT, "Cast"):
        return "border"
    return "integer" if integer else "float"


def _holds_graph(node: onnx.NodeProto) -> bool:
    return any(item.HasField("g") for item in node.attribute)


def _why_float(node: onnx.NodeProto, mistake: LintFinding | None) -> tuple[str, str]:
    """Return what is known of the reason, and what to change."""
    if _holds_graph(node):
        return _INNER_GRAPH, ""
    if node.op_type in _BORDER:
        return "it stands between integers and an operator that runs in float", ""
    if mistake is not None:
        return mistake.what, f"{mistake.fix} [{mistake.rule}]"
    fused = [onnx.helper.get_attribute_value(item) for item in node.attribute if item.name == "activation"]
    operators = [node.op_type.removeprefix("Fused"), *(activation.decode() for activation in fused)]
    known = [op_type for op_type in operators if rules_for(op_type)]
    why = "; or ".join(explain_float(op_type) for op_type in known or operators)
    return ("", why) if known else (why, "")


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
