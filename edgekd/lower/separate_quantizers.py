"""Two quantizers in sequence are kept apart: ONNX Runtime silently deletes one of two neighbours."""

import numpy as np
import onnx_ir as ir

from edgekd.lower.graph import constant, graph_of, insert_before, is_op, producer
from edgekd.lower.lowering_pass import LoweringPass


class SeparateQuantizersPass(LoweringPass):
    """``Q(DQ(x))`` -> ``Q(Mul(DQ(x), DQ(1)))``: an integer product with exactly 1 changes the grid."""

    def visit(self, node: ir.Node) -> bool:
        """Put a product in front of one quantizer that reads another."""
        if not is_op(node, "QuantizeLinear") or producer(node, 0, "DequantizeLinear") is None:
            return False
        graph = graph_of(node)
        inputs = [
            constant(graph, np.uint8(1), "one.code"),
            constant(graph, np.float32(1), "one.scale"),
            constant(graph, np.uint8(0), "zp0"),
        ]
        one = insert_before(node, "DequantizeLinear", inputs)
        node.replace_input_with(0, insert_before(node, "Mul", [node.inputs[0], one]))
        return True
