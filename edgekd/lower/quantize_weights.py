"""Marks on initializers become integer codes behind a DequantizeLinear."""

import numpy as np
import onnx_ir as ir

from edgekd.lower.graph import array, attribute, constant, graph_of, insert_before, is_mark, replace
from edgekd.lower.lowering_pass import LoweringPass


class QuantizeWeightsPass(LoweringPass):
    """``FakeQuant(w, scale)`` -> ``DequantizeLinear(codes int8, scale)``."""

    def visit(self, node: ir.Node) -> bool:
        """Rewrite one mark that reads a constant."""
        weight = array(node.inputs[0]) if is_mark(node) else None
        if weight is None:
            return False
        scale = array(node.inputs[1])
        assert scale is not None
        axis, mark = int(attribute(node, "axis")), str(attribute(node, "mark"))
        shape = [-1 if dim == axis else 1 for dim in range(weight.ndim)]
        scaled = np.round(weight / (scale.reshape(shape) if axis >= 0 else scale))
        codes = np.clip(scaled, attribute(node, "qmin"), attribute(node, "qmax")).astype(np.int8)
        graph = graph_of(node)
        inputs = [constant(graph, codes, mark), constant(graph, scale, f"{mark}.scale")]
        replace(node, insert_before(node, "DequantizeLinear", inputs, attributes={"axis": max(axis, 0)}))
        return True
