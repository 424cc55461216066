"""A ReLU or ReLU6 in front of a quantizer that clamps to the same range is dropped."""

import onnx_ir as ir

from edgekd.lower.graph import array, attribute, graph_of, is_mark, is_op
from edgekd.lower.lowering_pass import LoweringPass

_ROUNDING = 1e-6  # relative: the bound of a learned scale is itself a float32


class AbsorbClampPass(LoweringPass):
    """``FakeQuant(Relu(x))`` -> ``FakeQuant(x)`` where the grid starts at 0; ReLU6 if it ends by 6."""

    def visit(self, node: ir.Node) -> bool:
        """Bypass the clamps in front of one mark."""
        if not is_mark(node) or attribute(node, "qmin") != 0:
            return False
        scale = array(node.inputs[1])
        assert scale is not None
        grid_end = float(scale) * attribute(node, "qmax")
        modified = False
        while node.inputs[0] is not None and _clamps_no_more(node.inputs[0].producer(), grid_end):
            clamp = node.inputs[0].producer()
            assert clamp is not None
            node.replace_input_with(0, clamp.inputs[0])
            if not list(clamp.outputs[0].uses()):
                graph_of(clamp).remove(clamp, safe=True)
            modified = True
        return modified


def _clamps_no_more(node: ir.Node | None, grid_end: float) -> bool:
    if is_op(node, "Relu"):
        return True
    if node is None or not is_op(node, "Clip"):
        return False
    low, high = array(node.inputs[1]), array(node.inputs[2]) if len(node.inputs) > 2 else None
    starts_at_zero = low is not None and float(low) == 0.0
    return starts_at_zero and (high is None or grid_end <= float(high) * (1 + _ROUNDING))
