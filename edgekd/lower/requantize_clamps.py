"""A ReLU that reads dequantized numbers gets a quantizer of the same grid behind it.

It clamps numbers that lie on a grid around 0, so what it makes lies there too and nothing is rounded. Without
the quantizer, what reads the result would run in float.
"""

import onnx_ir as ir

from edgekd.lower.graph import insert_behind, is_op
from edgekd.lower.lowering_pass import LoweringPass
from edgekd.lower.qdq import dequantizer_of


class RequantizeClampsPass(LoweringPass):
    """``Relu(DQ(codes))`` -> ``DQ(Q(Relu(DQ(codes))))``, where not quantizers alone read it."""

    def visit(self, node: ir.Node) -> bool:
        """Quantize the result of one ReLU."""
        source = dequantizer_of(node.inputs[0]) if is_op(node, "Relu") else None
        result = node.outputs[0]
        if source is None or all(is_op(use.node, "QuantizeLinear") for use in result.uses()):
            return False
        grid = source.inputs[1:]
        insert_behind(result, "QuantizeLinear", grid)
        (quantize,) = [use.node for use in result.uses()]
        insert_behind(quantize.outputs[0], "DequantizeLinear", grid)
        return True
