"""Biases of quantized layers become int32 with scale ``x_scale * w_scale``, the unit of the accumulator."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekd.lower.graph import array, constant, graph_of, insert_before, is_op, name_of, producer
from edgekd.lower.lowering_pass import LoweringPass
from edgekd.lower.saturation import LARGEST_SAFE_CODE

LARGEST_BIAS_CODE = 2**30  # leaves the accumulator as much room again
_WHOLE, _COARSE = 0.05, 2**16  # units: no fraction, and a bias of which half a unit is nothing


class IntegerBiasPass(LoweringPass):
    """``Conv(DQ(x), DQ(w), b)`` -> ``Conv(DQ(x), DQ(w), DQ(b int32))``.

    A channel whose scale is so small that its bias would overflow (a dead channel, gain 0) gets the smallest
    scale that holds the bias, and its codes are rounded to it: they are 0, or far below one step of the
    result. Biases come in whole units, unless a layer is used twice: each use has a unit of its own. Then
    codes of few bits are multiplied by a power of two, which the scale takes back, so that units are finer.
    """

    def visit(self, node: ir.Node) -> bool:
        """Rewrite the bias of one layer."""
        if not is_op(node, "Conv", "Gemm"):
            return False
        x, w = (producer(node, index, "DequantizeLinear") for index in (0, 1))
        if x is None or w is None:
            return False
        codes, scale, x_scale = (array(value) for value in (w.inputs[0], w.inputs[1], x.inputs[1]))
        if codes is None or scale is None or x_scale is None:
            return False
        has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
        bias = array(node.inputs[2]) if has_bias else np.zeros(codes.shape[0], np.float32)
        assert bias is not None
        usable = usable_scale(finer_scale(codes, scale, bias, x_scale), bias, x_scale)
        graph, mark = graph_of(node), name_of(w.inputs[0])
        if not np.array_equal(usable, scale):
            w.replace_input_with(0, constant(graph, rescale_codes(codes, scale, usable), mark))
            w.replace_input_with(1, constant(graph, usable, f"{mark}.scale"))
        bias_scale = (np.float32(x_scale) * usable).astype(np.float32)
        bias_codes = np.round(bias.astype(np.float64) / bias_scale).astype(np.int32)
        inputs = [
            constant(graph, bias_codes, f"{mark}.bias"),
            constant(graph, bias_scale, f"{mark}.bias.scale"),
        ]
        node.resize_inputs(3)
        node.replace_input_with(2, insert_before(node, "DequantizeLinear", inputs, attributes={"axis": 0}))
        if is_op(
            node, "Gemm"
        ):  # without it ONNX Runtime 1.32 leaves a Gemm with per-channel weights in float
            w.resize_inputs(3)
            w.replace_input_with(2, constant(graph, np.zeros(codes.shape[0], np.int8), f"{mark}.zero"))
        return True


def finer_scale(
    codes: NDArray[np.int8],
    scale: NDArray[np.float32],
    bias: NDArray[np.float32],
    x_scale: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return ``scale``, or a fraction of it if the bias does not come in whole units of ``x_scale * scale``.

    The fraction is a power of two, so that the codes that go with it are whole, and ``LARGEST_SAFE_CODE`` at
    most.

    Example:
        >>> scale, x_scale = np.ones(1, np.float32), np.float32(0.5)
        >>> [finer_scale(np.int8([[7]]), scale, np.float32([bias]), x_scale).item() for bias in (1.5, 1.6)]
        [1.0, 0.125]
    """
    alive = scale != 0
    units = bias[alive].astype(np.float64) / (np.float64(x_scale) * scale[alive])
    if np.all((np.abs(units - np.round(units)) < _WHOLE) | (np.abs(units) > _COARSE)):
        return scale
    room = LARGEST_SAFE_CODE // max(1, int(np.abs(codes.astype(np.int16)).max(initial=0)))
    return scale / np.float32(1 << max(0, room.bit_length() - 1))


def usable_scale(
    scale: NDArray[np.float32], bias: NDArray[np.float32], x_scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the weight scales, larger where ``bias / (x_scale * scale)`` would pass ``LARGEST_BIAS_CODE``.

    Args:
        scale: (channels,); a negative one turns the sign of its codes.
        bias: (channels,), in units of the result.
        x_scale: (), > 0.
    """
    floor = np.abs(bias) / (np.float32(x_scale) * np.float32(LARGEST_BIAS_CODE))
    raised = np.maximum(np.abs(scale), floor).astype(np.float32)
    return np.copysign(np.where(raised > 0, raised, np.float32(1)), scale).astype(np.float32)


def rescale_codes(
    codes: NDArray[np.int8], scale: NDArray[np.float32], new_scale: NDArray[np.float32]
) -> NDArray[np.int8]:
    """Return the codes that mean the same numbers under another scale, rounded."""
    shape = [-1] + [1] * (codes.ndim - 1)
    return np.round(codes * (scale / new_scale).reshape(shape)).astype(np.int8)
