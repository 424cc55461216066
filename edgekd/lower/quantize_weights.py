"""Marks on initializers become integer codes behind a DequantizeLinear."""

import numpy as np
import onnx_ir as ir

from edgekd.lower.graph import array, attribute, constant, graph_of, insert_before, is_mark
from edgekd.lower.lowering_pass import LoweringPass


class QuantizeWeightsPass(LoweringPass):
    """``FakeQuant(w, scale)`` -> ``DequantizeLinear(codes int8, scale)``, one for every reader.

    A layer that is used twice has one weight, but each use folds its own BatchNorm and bias.
    """

    def visit(self, node: ir.Node) -> bool:
        """Rewrite one mark that reads a constant."""
        weight = array(node.inputs[0]) if is_mark(node) else None
        if weight is None:
            return False
        scale = array(node.inputs[1])
        assert scale is not None
        axis, mark = int(attribute(node, "axis")), str(attribute(node, "mark"))
        qmin, qmax = int(attribute(node, "qmin")), int(attribute(node, "qmax"))
        shape = [-1 if dim == axis else 1 for dim in range(weight.ndim)]
        scaled = np.round(weight / (scale.reshape(shape) if axis >= 0 else scale))
        codes = np.clip(scaled, qmin, qmax).astype(np.int8)
        graph = graph_of(node)
        inputs = [constant(graph, codes, mark), constant(graph, scale, f"{mark}.scale")]
        for use in list(node.outputs[0].uses()):
            weights = insert_before(node, "DequantizeLinear", inputs, attributes={"axis": max(axis, 0)})
            use.node.replace_input_with(use.idx, weights)
        graph.remove(node, safe=True)
        return True
