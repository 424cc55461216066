"""Marks on activations become QuantizeLinear / DequantizeLinear pairs on int8 with zero point 0.

TensorRT clips to -128..127 and knows no other range, and no clip of codes: what the grid does not hold is
clipped in float, in front of the quantizer. There a ReLU stands anyway, which is such a clip.
"""

import numpy as np
import onnx_ir as ir

from edgekd.core.tensorrt_rules import tensorrt_rule
from edgekd.errors import LowerError
from edgekd.lower.graph import (
    CODES_SUFFIX,
    array,
    attribute,
    constant,
    graph_of,
    insert_before,
    is_mark,
    is_op,
    replace,
)
from edgekd.lower.lowering_pass import LoweringPass
from edgekd.lower.sign import is_non_negative

LOWEST, HIGHEST = -128, 127
_ROUNDING = 1e-6  # relative: the bound of a learned scale is itself a float32


class QuantizeSignedPass(LoweringPass):
    """``FakeQuant(Clip(x))`` -> ``DQ(Q(Relu(x)))``, or a Clip to the ends of the grid, or neither.

    The tensor of codes is named after the mark: that is how verification finds it in the engine.
    """

    def visit(self, node: ir.Node) -> bool:
        """Rewrite one activation mark."""
        if not is_mark(node):
            return False
        graph, mark, scale = graph_of(node), str(attribute(node, "mark")), _scale(node)
        low, high = _bounds(node, scale)
        zero = constant(graph, np.int8(0), "zero")
        scales = constant(graph, np.float32(scale), f"{mark}.s")
        clipped = _clip(node, low, high)
        codes = insert_before(
            node,
            "QuantizeLinear",
            [clipped, scales, zero],
            output=mark + CODES_SUFFIX,
        )
        replace(node, insert_before(node, "DequantizeLinear", [codes, scales, zero]))
        return True


def _scale(node: ir.Node) -> float:
    """Return the scale of a mark whose codes int8 holds."""
    mark, qmin, qmax = (attribute(node, key) for key in ("mark", "qmin", "qmax"))
    if qmin < LOWEST or qmax > HIGHEST:
        row = tensorrt_rule("int8_codes" if qmin < 0 else "relu_range")
        what = f"codes {qmin}..{qmax} do not fit int8 with zero point 0 [{row.name}]"
        raise LowerError(what, where=f"quantizer {mark}", fix=row.advice)
    scale = array(node.inputs[1])
    if scale is None or scale.size != 1 or not 0 < scale.item() < np.inf:
        row = tensorrt_rule("positive_scale")
        what = f"the scale of an activation is not one positive constant [{row.name}]"
        raise LowerError(what, where=f"quantizer {mark}", fix=row.advice)
    return float(scale.item())


def _bounds(node: ir.Node, scale: float) -> tuple[float, float]:
    """Return what has to be clipped in float; take the clamps that clip no more out of the way."""
    qmin, qmax = int(attribute(node, "qmin")), int(attribute(node, "qmax"))
    low = qmin * scale if qmin > LOWEST else -np.inf
    high = qmax * scale if qmax < HIGHEST else np.inf
    while (clamp := _own_clamp(node)) is not None:
        clamp_low, clamp_high = clamp_bounds(clamp)
        low, high = max(low, clamp_low), min(high, clamp_high)
        node.replace_input_with(0, clamp.inputs[0])
        graph_of(clamp).remove(clamp, safe=True)
    if low <= LOWEST * scale or (low == 0 and is_non_negative(node.inputs[0])):
        low = -np.inf
    return low, np.inf if high >= HIGHEST * scale * (1 - _ROUNDING) else high


def _own_clamp(node: ir.Node) -> ir.Node | None:
    """Return the clamp in front of a mark, if nothing else reads it and its bounds are known."""
    value = node.inputs[0]
    assert value is not None
    clamp = value.producer()
    if clamp is None or not is_op(clamp, "Relu", "Clip") or value.is_graph_output():
        return None
    known = all(bound is None or array(bound) is not None for bound in clamp.inputs[1:])
    return clamp if known and len(list(value.uses())) == 1 else None


def clamp_bounds(clamp: ir.Node) -> tuple[float, float]:
    """Return the lowest and the highest number that a Relu or Clip lets pass."""
    low, high = (array(value) for value in (*clamp.inputs, None, None)[1:3])
    lowest = 0.0 if is_op(clamp, "Relu") else -np.inf
    return lowest if low is None else low.item(), np.inf if high is None else high.item()


def _clip(node: ir.Node, low: float, high: float) -> ir.Value:
    value, graph = node.inputs[0], graph_of(node)
    assert value is not None
    if (low, high) == (-np.inf, np.inf):
        return value
    if (low, high) == (0, np.inf):
        return insert_before(node, "Relu", [value])
    mark = str(attribute(node, "mark"))
    ends = [
        constant(graph, np.float32(end), f"{mark}.{name}") if np.isfinite(end) else None
        for end, name in ((low, "low"), (high, "high"))
    ]
    return insert_before(node, "Clip", [value, *ends])
