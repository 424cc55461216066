"""Constant operands of additions and products become one code and a scale."""

import numpy as np
import onnx_ir as ir

from edgekd.lower.graph import array, constant, graph_of, insert_before, is_op
from edgekd.lower.lowering_pass import LoweringPass


class QuantizeScalarsPass(LoweringPass):
    """``Add(DQ(x), 3.0)`` -> ``Add(DQ(x), DQ(code, 3.0 / code))``: the number itself does not change."""

    def visit(self, node: ir.Node) -> bool:
        """Rewrite the scalar operand of one Add or Mul, if it has one."""
        if not is_op(node, "Add", "Mul"):
            return False
        for index, value in enumerate(node.inputs):
            data = array(value)
            other = node.inputs[1 - index]
            if (
                data is None
                or data.size != 1
                or other is None
                or not is_op(other.producer(), "DequantizeLinear")
            ):
                continue
            number = float(data.reshape(()))
            negative = number < 0
            zero_point, code = (255, 0) if negative else (0, 255)
            scale = np.float32(abs(number) / abs(code - zero_point)) if number else np.float32(1)
            graph = graph_of(node)
            inputs = [
                constant(graph, np.uint8(code if number else zero_point), "scalar.code"),
                constant(graph, scale, "scalar.scale"),
                constant(graph, np.uint8(zero_point), f"zp{zero_point}"),
            ]
            node.replace_input_with(index, insert_before(node, "DequantizeLinear", inputs))
            return True
        return False
