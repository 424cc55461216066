"""Operators that share their input's grid run on the codes: they move in front of the DequantizeLinear."""

import numpy as np
import onnx_ir as ir

from edgekd.core.rules import shares_grid
from edgekd.errors import LowerError
from edgekd.lower.graph import array, attribute, constant, graph_of, insert_behind, is_op, producer
from edgekd.lower.lowering_pass import LoweringPass


class ShareCodesPass(LoweringPass):
    """``Slice(DQ(q))`` -> ``DQ(Slice(q))``; Pad writes the zero point, Relu is a Clip there.

    ``Shape(DQ(q))`` -> ``Shape(q)``: runtimes would dequantize the whole tensor for its size.
    """

    def visit(self, node: ir.Node) -> bool:
        """Move one operator in front of the DequantizeLinear that it reads."""
        moves, counts = shares_grid(node.op_type), is_op(node, "Shape")
        dequantize = producer(node, 0, "DequantizeLinear") if moves or counts else None
        if dequantize is None or (array(dequantize.inputs[0]) is not None and node.op_type != "Expand"):
            return False
        codes, scale, zero = dequantize.inputs[:3]
        _let_zero_be(zero, node)
        node.replace_input_with(0, codes)
        for output in node.outputs if moves else ():
            insert_behind(output, "DequantizeLinear", [scale, zero])
        if not list(dequantize.outputs[0].uses()):
            graph_of(dequantize).remove(dequantize, safe=True)
        return True


def _let_zero_be(zero: ir.Value | None, node: ir.Node) -> None:
    """Write the zero point where the operator, explicitly or not, means the number 0."""
    if node.op_type == "Relu":
        node.op_type = "Clip"
        node.resize_inputs(2)
        node.replace_input_with(1, zero)
    if node.op_type == "Pad" and attribute(node, "mode", "constant") == "constant":
        padding = array(node.inputs[2]) if len(node.inputs) > 2 else None
        if padding is not None and padding == -np.inf:  # in front of a MaxPool
            zero = constant(graph_of(node), np.uint8(0), "lowest")
        elif padding is not None and padding != 0:
            what = f"{node.name} pads with {padding}"
            raise LowerError(what, fix="pad with 0: the only number that every grid holds")
        node.resize_inputs(max(3, len(node.inputs)))
        node.replace_input_with(2, zero)
