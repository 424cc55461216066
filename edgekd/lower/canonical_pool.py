"""ReduceMean over height and width becomes GlobalAveragePool, which has an integer kernel."""

import numpy as np
import onnx_ir as ir

from edgekd.lower.graph import array, attribute, constant, graph_of, insert_before, is_mark, is_op, replace
from edgekd.lower.lowering_pass import LoweringPass


class CanonicalPoolPass(LoweringPass):
    """``ReduceMean(x, (2, 3))`` -> ``GlobalAveragePool(x)``; dimensions go behind the quantizer."""

    def visit(self, node: ir.Node) -> bool:
        """Rewrite one ReduceMean."""
        if not is_op(node, "ReduceMean") or node.inputs[0] is None or node.inputs[0].shape is None:
            return False
        rank = len(node.inputs[0].shape)
        axes = array(node.inputs[1]) if len(node.inputs) > 1 else attribute(node, "axes")
        if rank != 4 or axes is None or sorted(int(axis) % rank for axis in axes) != [2, 3]:
            return False
        pooled = insert_before(node, "GlobalAveragePool", [node.inputs[0]], name=node.name)
        if attribute(node, "keepdims", 1):
            replace(node, pooled)
            return True
        readers = [use.node for use in node.outputs[0].uses()]
        if len(readers) == 1 and is_mark(readers[0]):
            readers[0].replace_input_with(0, pooled)
            _drop_dimensions(readers[0].outputs[0], readers[0])
            graph_of(node).remove(node, safe=True)
        else:
            replace(node, _reshape_to_rows(pooled, node))
        return True


def _drop_dimensions(value: ir.Value, behind: ir.Node) -> None:
    shape = constant(graph_of(behind), np.array([0, -1], np.int64), "rows")
    node = ir.node("Reshape", [value, shape], num_outputs=1)
    users = [(use.node, use.idx) for use in value.uses() if use.node is not node]
    graph_of(behind).insert_after(behind, node)
    for user, index in users:
        user.replace_input_with(index, node.outputs[0])


def _reshape_to_rows(value: ir.Value, anchor: ir.Node) -> ir.Value:
    return insert_before(
        anchor, "Reshape", [value, constant(graph_of(anchor), np.array([0, -1], np.int64), "rows")]
    )
