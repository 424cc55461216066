"""Every use of a layer's large codes has a constant of its own once ONNX Runtime has folded the graph.

With ``session.x64quantprecision=1``, which CPUs without VNNI need for codes beyond 64, ONNX Runtime rewrites
the weights of each use. It opens no session where that is one constant, which it has rewritten already (seen
with 1.32). A Reshape to the same shape, folded at load, makes another constant of it.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekd.lower.graph import array, constant, graph_of, insert_before, is_op, weights_of
from edgekd.lower.lowering_pass import LoweringPass
from edgekd.lower.saturation import LARGEST_SAFE_CODE


class OwnCodesPass(LoweringPass):
    """``DQ(codes)``, ``DQ(codes)`` -> ``DQ(codes)``, ``DQ(Reshape(codes))``."""

    def visit(self, node: ir.Node) -> bool:
        """Give one use of a layer its own codes, if another one has them."""
        dequantize = weights_of(node)
        value = dequantize.inputs[0] if dequantize is not None else None
        codes = array(value)
        if dequantize is None or value is None or codes is None:
            return False
        first, *others = (use.node for use in value.uses())
        if dequantize is first or np.abs(codes.astype(np.int16)).max() <= LARGEST_SAFE_CODE:
            return False
        before = sum(is_op(other, "Reshape") for other in others)
        same = constant(graph_of(node), _same_shape(codes.shape, before), f"same{codes.ndim}")
        dequantize.replace_input_with(0, insert_before(dequantize, "Reshape", [value, same], name=""))
        return True


def _same_shape(shape: tuple[int, ...], number: int) -> NDArray[np.int64]:
    """Return one of the ways to say that a shape stays: 0 leaves a size as it is.

    Operators that say it in the same way would become one.
    """
    return np.array([size if number >> place & 1 else 0 for place, size in enumerate(shape)])
