"""Weight scales become positive numbers: TensorRT reads no others.

A negative scale, BatchNorm's sign with a code-book, turns the signs of its codes. A scale of 0, that of a
dead channel, becomes 1 with codes 0.
"""

import numpy as np
import onnx_ir as ir

from edgekd.lower.graph import array, constant, graph_of, is_op, name_of
from edgekd.lower.lowering_pass import LoweringPass


class PositiveScalesPass(LoweringPass):
    """``DQ(codes, -scale)`` -> ``DQ(-codes, scale)``."""

    def visit(self, node: ir.Node) -> bool:
        """Rewrite one DequantizeLinear of weights."""
        codes = array(node.inputs[0]) if is_op(node, "DequantizeLinear") else None
        scale = array(node.inputs[1]) if codes is not None else None
        if codes is None or scale is None or (scale > 0).all():
            return False
        assert codes.min() > np.iinfo(np.int8).min, "weight codes are narrow: their signs can turn"
        signs = np.sign(scale).astype(np.int8).reshape([-1] + [1] * (codes.ndim - 1))
        graph, mark = graph_of(node), name_of(node.inputs[0])
        positive = np.where(scale == 0, 1, np.abs(scale)).astype(np.float32)
        node.replace_input_with(0, constant(graph, codes * signs, f"{mark}.positive"))
        node.replace_input_with(1, constant(graph, positive, f"{mark}.positive.scale"))
        return True
