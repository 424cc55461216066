"""Marks on activations, and the pixel mark, become QuantizeLinear / DequantizeLinear pairs on uint8."""

import numpy as np
import onnx_ir as ir

from edgekd.errors import LowerError
from edgekd.lower.graph import (
    CODES_SUFFIX,
    array,
    attribute,
    constant,
    graph_of,
    insert_before,
    is_mark,
    replace,
)
from edgekd.lower.lowering_pass import LoweringPass
from edgekd.lower.qdq import dequantizer_of


def stored_zero_point(qmin: int, dtype: type[np.uint8] | type[np.int8] = np.uint8) -> int:
    """Return the code that stands for the number 0 on a grid that starts at ``qmin``; of int8 it is 0."""
    return 0 if qmin == 0 or dtype is np.int8 else 128


class QuantizeActivationsPass(LoweringPass):
    """``FakeQuant(x)`` -> ``DQ(Q(x))`` on uint8, with a Clip where the grid is smaller.

    The tensor of codes is named after the mark: that is how verification finds it in the engine.

    Args:
        clip_numbers: Clip what is quantized instead of the codes, unless that is codes already.
    """

    def __init__(self, *, clip_numbers: bool = False) -> None:
        self.clip_numbers = clip_numbers

    def visit(self, node: ir.Node) -> bool:
        """Rewrite one activation mark."""
        if not is_mark(node):
            return False
        graph, mark = graph_of(node), str(attribute(node, "mark"))
        qmin, qmax = int(attribute(node, "qmin")), int(attribute(node, "qmax"))
        zero_point = stored_zero_point(qmin)
        low, high = qmin + zero_point, qmax + zero_point
        scale_data = array(node.inputs[1])
        if low < 0 or high > 255 or scale_data is None:
            what = f"quantizer {mark}: codes {qmin}..{qmax} do not fit uint8 with zero point {zero_point}"
            raise LowerError(what, fix="use 8 bits or fewer, and constant scales")
        scale = constant(graph, scale_data.astype(np.float32), f"{mark}.s")
        zero = constant(graph, np.uint8(zero_point), f"zp{zero_point}")
        clipped, numbers = (low, high) != (0, 255), node.inputs[0]
        clip_numbers = self.clip_numbers and dequantizer_of(numbers) is None
        if clipped and clip_numbers:
            ends = scale_data.astype(np.float32) * np.array([qmin, qmax], np.float32)
            limits = [constant(graph, ends[0], f"{mark}.low"), constant(graph, ends[1], f"{mark}.high")]
            numbers = insert_before(node, "Clip", [numbers, *limits])
        codes = insert_before(node, "QuantizeLinear", [numbers, scale, zero], output=f"{mark}.unclipped")
        if clipped and not clip_numbers:
            bounds = [constant(graph, np.uint8(bound), f"code{bound}") for bound in (low, high)]
            codes = insert_before(node, "Clip", [codes, *bounds])
        codes.name = mark + CODES_SUFFIX
        replace(node, insert_before(node, "DequantizeLinear", [codes, scale, zero]))
        return True


class QuantizePixelsPass(LoweringPass):
    """``Pixels(image uint8 NHWC)`` -> ``DQ(Transpose(image))``: the pixel grid is the input quantizer."""

    def visit(self, node: ir.Node) -> bool:
        """Rewrite the pixel mark."""
        if not is_mark(node, "Pixels"):
            return False
        graph = graph_of(node)
        scale = constant(graph, np.float32(attribute(node, "scale")), "pixels.s")
        zero_point = int(attribute(node, "zero_point"))
        zero = constant(graph, np.uint8(zero_point), f"zp{zero_point}")
        planes = insert_before(node, "Transpose", [node.inputs[0]], attributes={"perm": [0, 3, 1, 2]})
        replace(node, insert_before(node, "DequantizeLinear", [planes, scale, zero]))
        return True
