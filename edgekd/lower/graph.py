"""Reading and editing ``onnx_ir`` graphs: the few verbs that every pass needs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

MARK_DOMAIN = "edgekd"
CODES_SUFFIX = ".q"
"""Behind the name of a quantizer: its tensor of codes. A module may be called like that, too (``attn.q``)."""

_DOMAINS = ("", "ai.onnx")
_FOLDED = ("BitShift", "BitwiseAnd", "Cast", "Gather", "MatMulInteger", "Reshape", "Slice", "Sub")


def is_op(node: ir.Node | None, *op_types: str) -> bool:
    """Whether ``node`` is an operator of the default ONNX domain with one of these types."""
    return node is not None and node.domain in _DOMAINS and node.op_type in op_types


def is_mark(node: ir.Node | None, op_type: str = "FakeQuant") -> bool:
    """Whether ``node`` is an edgekd mark of this type."""
    return node is not None and node.domain == MARK_DOMAIN and node.op_type == op_type


def array(value: ir.Value | None) -> NDArray[Any] | None:
    """Return the constant behind ``value``, or None if it is computed at run time.

    What unpacks weight codes is computed once, when a runtime loads the file, so its result is a constant.
    """
    if value is None:
        return None
    tensor = ir.convenience.get_const_tensor(value)
    if tensor is not None:
        return tensor.numpy()
    node = value.producer()
    return _folded(node) if node is not None and is_op(node, *_FOLDED) else None


def attribute(node: ir.Node, name: str, default: Any = None) -> Any:
    """Return the value of an attribute, or ``default``."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def constant(graph: ir.Graph, data: NDArray[Any] | np.generic, name: str) -> ir.Value:
    """Register an initializer; the same bytes under the same name are shared."""
    data = np.asarray(data)
    name = _free_name(graph, data, name)
    if name in graph.initializers:
        return graph.initializers[name]
    tensor = ir.tensor(data, name=name)
    value = ir.Value(
        name=name, shape=ir.Shape(data.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(value)
    return value


def insert_before(
    anchor: ir.Node,
    op_type: str,
    inputs: Sequence[ir.Value | None],
    *,
    attributes: Mapping[str, Any] | None = None,
    output: str | None = None,
    name: str | None = None,
) -> ir.Value:
    """Insert one single-output operator in front of ``anchor`` and return its result."""
    node = ir.node(op_type, inputs, attributes, name=name, num_outputs=1)
    node.outputs[0].name = output
    graph_of(anchor).insert_before(anchor, node)
    return node.outputs[0]


def insert_behind(value: ir.Value, op_type: str, inputs: Sequence[ir.Value | None]) -> None:
    """Let everything that reads ``value`` read ``op_type(value, *inputs)`` instead.

    A graph output keeps its name, type and shape.
    """
    before = value.producer()
    assert before is not None
    node = ir.node(op_type, [value, *inputs], num_outputs=1)
    graph_of(before).insert_after(before, node)
    result = node.outputs[0]
    if value.is_graph_output():
        result.name, result.type, result.shape = value.name, value.type, value.shape
        value.name = f"{value.name}_before"
    value.type, value.shape = None, None
    value.replace_all_uses_with(result, replace_graph_outputs=True)
    node.replace_input_with(0, value)


def producer(node: ir.Node | None, index: int, *op_types: str) -> ir.Node | None:
    """Return the operator that makes input ``index`` of ``node``, if it has one of these types."""
    value = node.inputs[index] if node is not None and index < len(node.inputs) else None
    found = value.producer() if value is not None else None
    return found if is_op(found, *op_types) else None


def weights_of(node: ir.Node) -> ir.Node | None:
    """Return the DequantizeLinear of the constant weights of a layer, if it has some.

    Weights have a scale for each output channel; a constant that a matrix product reads as an operand has one
    for all of it.
    """
    dequantize = producer(node, 1, "DequantizeLinear") if is_op(node, "Conv", "Gemm", "MatMul") else None
    if dequantize is None or array(dequantize.inputs[0]) is None:
        return None
    scale = array(dequantize.inputs[1])
    return dequantize if scale is not None and scale.ndim == 1 else None


def name_of(value: ir.Value | None) -> str:
    """Return the name of a value that is known to exist."""
    assert value is not None
    assert value.name is not None
    return value.name


def graph_of(node: ir.Node) -> ir.Graph:
    """Return the graph that holds ``node``."""
    graph = node.graph
    assert isinstance(graph, ir.Graph)
    return graph


def replace(node: ir.Node, result: ir.Value) -> None:
    """Let everything that reads the single output of ``node`` read ``result``, and remove the node.

    A graph output keeps its name, type and shape.
    """
    old = node.outputs[0]
    if old.is_graph_output():
        result.name, result.type, result.shape = old.name, old.type, old.shape
    old.replace_all_uses_with(result, replace_graph_outputs=True)
    graph_of(node).remove(node, safe=True)


def _folded(node: ir.Node) -> NDArray[Any] | None:
    inputs = {}
    for index, value in enumerate(node.inputs):
        known = array(value)
        if known is None:
            return None
        inputs[str(index)] = known
    alone = onnx.NodeProto(op_type=node.op_type, input=list(inputs), output=["result"])
    alone.attribute.extend(ir.to_proto(item) for item in node.attributes.values())
    (result,) = ReferenceEvaluator(alone).run(None, inputs)
    return np.asarray(result)


def _free_name(graph: ir.Graph, data: NDArray[Any], name: str) -> str:
    candidate, index = name, 1
    while candidate in graph.initializers:
        taken = array(graph.initializers[candidate])
        if taken is not None and taken.dtype == data.dtype and np.array_equal(taken, data):
            return candidate
        index += 1
        candidate = f"{name}_{index}"
    return candidate
