"""BatchNorm moves into the convolution or linear layer before it, exactly: no weight is rounded twice.

    gain * (w . x + b - mean) / sqrt(var + eps) + beta
    = sign * |g| * (w . x) + (b - mean) * g + beta        with g = gain / sqrt(var + eps) per output channel

``|g|`` multiplies the channel's scale, the sign multiplies its codes (their range is narrow, so they stay in
it) or its scale: where those of a code-book would then need more bytes, and where another use of the layer,
whose gains have other signs, reads the same codes. The rest is the new bias. A channel
with gain 0 gets scale 0 here; :mod:`edgekd.lower.integer_bias` gives it codes 0 and a usable scale.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekd.core.rules import rule
from edgekd.errors import LowerError
from edgekd.lower.graph import array, attribute, constant, graph_of, is_op, name_of, producer, replace
from edgekd.lower.lowering_pass import LoweringPass
from edgekd.lower.storage import smallest_storage


class FoldBatchNormPass(LoweringPass):
    """``BatchNorm(Conv(x, DQ(codes, scale), b))`` -> ``Conv(x, DQ(codes', scale'), b')``."""

    def visit(self, node: ir.Node) -> bool:
        """Fold one BatchNormalization."""
        if not is_op(node, "BatchNormalization"):
            return False
        layer = producer(node, 0, "Conv", "Gemm")
        dequantize = producer(layer, 1, "DequantizeLinear")
        if layer is None or dequantize is None or len(list(layer.outputs[0].uses())) != 1:
            what = f"BatchNorm {node.name} does not follow a quantized layer that nothing else reads"
            raise LowerError(what, fix=rule("batch_norm").advice)
        _fold(node, layer, dequantize)
        replace(node, layer.outputs[0])
        return True


def _fold(node: ir.Node, layer: ir.Node, dequantize: ir.Node) -> None:
    gain, beta, mean, variance = (_float64(value) for value in node.inputs[1:5])
    codes, scale = array(dequantize.inputs[0]), array(dequantize.inputs[1])
    assert codes is not None
    assert scale is not None
    factor = gain / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    bias = _float64(layer.inputs[2]) if len(layer.inputs) > 2 and layer.inputs[2] is not None else 0.0
    sign = np.where(factor < 0, -1, 1).astype(np.int8).reshape([-1] + [1] * (codes.ndim - 1))
    graph = graph_of(node)
    mark = name_of(dequantize.inputs[0])
    flipped = codes * sign
    keeps_codes = _is_shared(dequantize) or _size_bytes(flipped) > _size_bytes(codes)
    if not keeps_codes:
        dequantize.replace_input_with(0, constant(graph, flipped, f"{mark}.folded"))
    folded_scale = scale.astype(np.float64) * (factor if keeps_codes else np.abs(factor))
    dequantize.replace_input_with(1, constant(graph, folded_scale.astype(np.float32), f"{mark}.folded.scale"))
    folded_bias = ((bias - mean) * factor + beta).astype(np.float32)
    layer.resize_inputs(3)
    layer.replace_input_with(2, constant(graph, folded_bias, f"{mark}.bias"))


def _is_shared(dequantize: ir.Node) -> bool:
    codes = dequantize.inputs[0]
    assert codes is not None
    return len(list(codes.uses())) > 1


def _size_bytes(codes: NDArray[np.int8]) -> int:
    return smallest_storage(codes).size_bytes(codes.size)


def _float64(value: ir.Value | None) -> np.ndarray:
    data = array(value)
    assert data is not None
    return data.astype(np.float64)
