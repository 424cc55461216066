"""The float parts of a lowered graph become float16: scales, biases, and all that is no integer.

Inputs and outputs keep their types. What integer kernels add up stays exact; it is rescaled to float16.
"""

import numpy as np
import onnx_ir as ir

from edgekd.errors import LowerError
from edgekd.lower.graph import array, attribute, constant, graph_of, is_op, name_of
from edgekd.lower.integer_bias import rescale_codes
from edgekd.lower.lowering_pass import LoweringPass

SMALLEST_FINE = 2.0**-17
"""Weight scales from here on: rounding them to float16 moves no weight by more than half a code."""

_HALF, _FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT


class HalfFloatsPass(ir.passes.InPlacePass):
    """Constants become float16, casts to float casts to float16, and float outputs are cast back.

    Expects every constant as an initializer.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrite in place."""
        graph = model.graph
        for value in graph.initializers.values():
            if value.dtype is _FLOAT and not _stays_float(value):
                _halve(value)
        for node in graph:
            if is_op(node, "Cast") and attribute(node, "to") == _FLOAT.value:
                node.attributes["to"] = ir.AttrInt64("to", _HALF.value)
        for value in graph.inputs:
            if value.dtype is _FLOAT:
                _cast_input(graph, value)
        for index, value in enumerate(graph.outputs):
            if value.dtype is _FLOAT:
                graph.outputs[index] = _cast_output(graph, value)
        return ir.passes.PassResult(model, modified=True)


class TinyScalesPass(LoweringPass):
    """Weights whose scale float16 holds badly or not at all get one that it holds, and codes rounded to it.

    Such channels are almost dead. The next float16 is at most 2**-24 larger.
    """

    def visit(self, node: ir.Node) -> bool:
        """Rewrite one DequantizeLinear of weights."""
        codes = array(node.inputs[0]) if is_op(node, "DequantizeLinear") else None
        scale = array(node.inputs[1]) if codes is not None else None
        if codes is None or scale is None or scale.ndim == 0 or (scale >= SMALLEST_FINE).all():
            return False
        half = scale.astype(np.float16)
        above = np.where(half < scale, np.nextafter(half, np.float16(np.inf)), half)
        held = np.where(scale < SMALLEST_FINE, above, scale).astype(np.float32)
        graph, mark = graph_of(node), name_of(node.inputs[0])
        node.replace_input_with(0, constant(graph, rescale_codes(codes, scale, held), f"{mark}.half"))
        node.replace_input_with(1, constant(graph, held, f"{mark}.half.scale"))
        return True


def _stays_float(value: ir.Value) -> bool:
    """Whether ONNX wants the constant as float32: the sizes of a Resize."""
    return any(is_op(use.node, "Resize") and use.idx > 0 for use in value.uses())


def _halve(value: ir.Value) -> None:
    data = array(value)
    assert data is not None
    with np.errstate(over="ignore"):
        half = data.astype(np.float16)
    scales = any(is_op(use.node, "QuantizeLinear", "DequantizeLinear") for use in value.uses())
    lost = np.isinf(half) & np.isfinite(data) | ((half == 0) & (data != 0) if scales else False)
    if lost.any():
        what = f"{data[lost][0]:g} has no float16: it would become {half[lost][0]:g}"
        raise LowerError(what, where=name_of(value), fix="keep the float parts in fp32")
    value.const_value = ir.tensor(half, name=value.name)
    value.dtype = _HALF


def _cast_input(graph: ir.Graph, value: ir.Value) -> None:
    node = ir.node("Cast", [value], {"to": _HALF.value})
    value.replace_all_uses_with(node.outputs[0])
    node.replace_input_with(0, value)
    graph.insert_before(graph[0], node)


def _cast_output(graph: ir.Graph, value: ir.Value) -> ir.Value:
    node = ir.node("Cast", [value], {"to": _FLOAT.value})
    graph.append(node)
    result = node.outputs[0]
    result.name, result.type, result.shape = value.name, value.type, value.shape
    value.name, value.type = f"{value.name}.half", None
    return result
