"""Marks on initializers become integer codes behind a DequantizeLinear."""

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekd.lower.graph import array, attribute, constant, graph_of, insert_before, is_mark, replace
from edgekd.lower.lowering_pass import LoweringPass
from edgekd.lower.quantize_activations import stored_zero_point


class QuantizeWeightsPass(LoweringPass):
    """``FakeQuant(w, scale)`` -> ``DequantizeLinear(codes int8, scale)``, one for every reader.

    A layer that is used twice has one weight, but each use folds its own BatchNorm and bias.

    Args:
        operands: How constants that are added or multiplied are stored: as the dialect stores activations.
    """

    def __init__(self, operands: type[np.uint8] | type[np.int8] = np.uint8) -> None:
        self.operands = operands

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
        codes = np.clip(scaled, qmin, qmax)
        if axis < 0:
            self._operand(node, codes, scale, zero_point=stored_zero_point(qmin, self.operands))
            return True
        graph = graph_of(node)
        inputs = [constant(graph, codes.astype(np.int8), mark), constant(graph, scale, f"{mark}.scale")]
        for use in list(node.outputs[0].uses()):
            weights = insert_before(node, "DequantizeLinear", inputs, attributes={"axis": max(axis, 0)})
            use.node.replace_input_with(use.idx, weights)
        graph.remove(node, safe=True)
        return True

    def _operand(self, node: ir.Node, codes: NDArray[Any], scale: NDArray[Any], *, zero_point: int) -> None:
        """A constant that is added or multiplied."""
        graph, mark = graph_of(node), str(attribute(node, "mark"))
        inputs = [
            constant(graph, (codes + zero_point).astype(self.operands), mark),
            constant(graph, scale.astype(np.float32), f"{mark}.s"),
            constant(graph, self.operands(zero_point), f"zp{zero_point}"),
        ]
        replace(node, insert_before(node, "DequantizeLinear", inputs))
