"""Whether a tensor can hold negative numbers."""

import onnx_ir as ir

from edgekd.core.rules import rules_for
from edgekd.lower.graph import array, attribute, is_mark, is_op


def is_non_negative(value: ir.Value | None) -> bool:
    """Whether no number of ``value`` can be below 0, as far as the graph shows.

    Quantizers keep signs: their zero point is the number 0.
    """
    data = array(value)
    if data is not None:
        return bool((data >= 0).all())
    node = value.producer() if value is not None else None
    if node is None:
        return False
    if is_mark(node) and attribute(node, "qmin") == 0:
        return True
    if is_op(node, "Clip"):
        low = array((*node.inputs, None)[1])
        return low is not None and float(low) >= 0
    if is_mark(node) or is_op(node, "QuantizeLinear", "DequantizeLinear"):
        return is_non_negative(node.inputs[0])
    if is_op(node, "Add", "Mul", "Concat"):
        return all(is_non_negative(read) for read in node.inputs)
    if is_op(node, "Pad") and len(node.inputs) > 2 and not is_non_negative(node.inputs[2]):
        return False
    rows = rules_for(node.op_type)
    verdict = rows[0].non_negative if rows else False
    return is_non_negative(node.inputs[0]) if verdict is None else verdict
