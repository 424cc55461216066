"""ReduceMean over all of an image or a signal becomes GlobalAveragePool, which has an integer kernel."""

import numpy as np
import onnx_ir as ir

from edgekd.lower.graph import (
    array,
    attribute,
    constant,
    graph_of,
    insert_before,
    insert_behind,
    is_mark,
    is_op,
    replace,
)
from edgekd.lower.lowering_pass import LoweringPass


class CanonicalPoolPass(LoweringPass):
    """``ReduceMean(x, (2, 3))`` -> ``GlobalAveragePool(x)``; dimensions go behind the quantizer."""

    def visit(self, node: ir.Node) -> bool:
        """Rewrite one ReduceMean."""
        if not is_op(node, "ReduceMean") or node.inputs[0] is None or node.inputs[0].shape is None:
            return False
        rank = len(node.inputs[0].shape)
        axes = array(node.inputs[1]) if len(node.inputs) > 1 else attribute(node, "axes")
        if rank < 3 or axes is None or sorted(int(axis) % rank for axis in axes) != list(range(2, rank)):
            return False
        pooled = insert_before(node, "GlobalAveragePool", [node.inputs[0]], name=node.name)
        if attribute(node, "keepdims", 1):
            replace(node, pooled)
            return True
        readers = [use.node for use in node.outputs[0].uses()]
        if len(readers) == 1 and is_mark(readers[0]):
            readers[0].replace_input_with(0, pooled)
            insert_behind(readers[0].outputs[0], "Reshape", [_rows(node)])
            graph_of(node).remove(node, safe=True)
        else:
            replace(node, insert_before(node, "Reshape", [pooled, _rows(node)]))
        return True


def _rows(node: ir.Node) -> ir.Value:
    return constant(graph_of(node), np.array([0, -1], np.int64), "rows")
