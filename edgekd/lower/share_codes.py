"""Operators that share their input's grid run on the codes: they move in front of the DequantizeLinear."""

import numpy as np
import onnx_ir as ir

from edgekd.lower.graph import array, attribute, constant, graph_of, insert_before, is_op, replace
from edgekd.lower.lowering_pass import LoweringPass

_SHARING = ("MaxPool", "Slice", "Pad", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Relu")


class ShareCodesPass(LoweringPass):
    """``Slice(DQ(q))`` -> ``DQ(Slice(q))``; Pad writes the zero point, Relu is a Clip there."""

    def visit(self, node: ir.Node) -> bool:
        """Move one operator in front of the DequantizeLinear that it reads."""
        value = node.inputs[0] if is_op(node, *_SHARING) else None
        dequantize = value.producer() if value is not None else None
        if (
            dequantize is None
            or not is_op(dequantize, "DequantizeLinear")
            or array(dequantize.inputs[0]) is not None
        ):
            return False
        codes, scale, zero = dequantize.inputs[:3]
        moved = _on_codes(node, codes, zero)
        replace(node, insert_before(node, "DequantizeLinear", [moved, scale, zero]))
        if not list(dequantize.outputs[0].uses()):
            graph_of(dequantize).remove(dequantize, safe=True)
        return True


def _on_codes(node: ir.Node, codes: ir.Value | None, zero: ir.Value | None) -> ir.Value:
    graph = graph_of(node)
    rest = list(node.inputs[1:])
    if node.op_type == "Relu":
        return insert_before(node, "Clip", [codes, zero], name=node.name)
    if node.op_type == "Flatten":
        shape = constant(graph, np.array([0, -1], np.int64), "rows")
        assert attribute(node, "axis", 1) == 1
        return insert_before(node, "Reshape", [codes, shape], name=node.name)
    if node.op_type == "Pad":
        rest = [rest[0], zero, *rest[2:]]
    return insert_before(node, node.op_type, [codes, *rest], attributes=node.attributes, name=node.name)
