"""A Q/DQ graph as ONNX Runtime's optimizer reads it: what is quantized, and who reads it.

A DequantizeLinear moves down, and a QuantizeLinear up, through operators that only move numbers (``MOVES``),
and a clamp directly behind an operator can disappear in the quantizer below.
"""

from typing import Any

import numpy as np
import onnx_ir as ir

from edgekd.lower.graph import array, is_op, producer

MOVES = ("MaxPool", "Reshape", "Transpose", "Slice", "Squeeze", "Unsqueeze", "Identity", "Dropout")
CLAMPS = ("Relu", "Clip")
LAYERS = ("Conv", "Gemm", "MatMul")
KERNELS = (*LAYERS, "Add", "Mul", "AveragePool", "GlobalAveragePool", "Concat", "Sigmoid", "Softmax")

Grid = tuple[Any, ...]


def source_of(value: ir.Value | None, *passed: str) -> ir.Node | None:
    """Return the operator that makes ``value``, above operators of the types ``passed``."""
    node = value.producer() if value is not None else None
    return source_of(node.inputs[0], *passed) if node is not None and is_op(node, *passed) else node


def dequantizer_of(value: ir.Value | None) -> ir.Node | None:
    """Return the DequantizeLinear that ``value`` comes from, if nothing but moves stand between."""
    source = source_of(value, *MOVES)
    return source if is_op(source, "DequantizeLinear") else None


def readers_of(value: ir.Value, *passed: str) -> tuple[list[ir.Node], list[str]]:
    """Return the quantizers that read ``value`` and the types of its other readers.

    Looks through one only reader of the types ``passed``, and through moves behind it.
    """
    nodes = [use.node for use in value.uses()]
    if len(nodes) == 1 and is_op(nodes[0], *passed) and not value.is_graph_output():
        return readers_of(nodes[0].outputs[0], *MOVES)
    quantizers = [node for node in nodes if is_op(node, "QuantizeLinear")]
    others = [node.op_type for node in nodes if node not in quantizers]
    return quantizers, others + ["the graph's output"] * value.is_graph_output()


def result_readers(node: ir.Node) -> tuple[list[ir.Node], list[str]]:
    """Return :func:`readers_of` the result of an operator, below the clamp that may be part of it."""
    return readers_of(node.outputs[0], *CLAMPS, *MOVES)


def has_kernel(node: ir.Node | None) -> bool:
    """Whether an operator's inputs are quantized, so that it could run in integers."""
    if node is None or not is_op(node, *KERNELS):
        return False
    return all(dequantizer_of(value) is not None for value in node.inputs[: 2 if is_op(node, *LAYERS) else 1])


def is_quantized(value: ir.Value | None) -> bool:
    """Whether ``value`` comes from a DequantizeLinear, or from an operator that could run in integers."""
    source = source_of(value, *CLAMPS, *MOVES)
    return is_op(source, "DequantizeLinear") or has_kernel(source)


def layer_of(node: ir.Node) -> tuple[ir.Node | None, ir.Value | None]:
    """Return a Conv or Gemm with its bias, or the MatMul whose bias the addition ``node`` is."""
    if is_op(node, "Conv", "Gemm"):
        return node, node.inputs[2] if len(node.inputs) > 2 else None
    for index in (0, 1) if is_op(node, "Add") else ():
        layer, bias = producer(node, index, "MatMul"), node.inputs[1 - index]
        codes = producer(node, 1 - index, "DequantizeLinear")
        numbers = array(codes.inputs[0] if codes is not None else bias)
        if layer is not None and numbers is not None and numbers.ndim == 1:
            return layer, bias
    return None, None


def grid_of(quantizer: ir.Node) -> Grid:
    """Return type, zero point and scales of a Q or DQ; no scales if they are computed at run time."""
    scale, zero = (array(value) for value in (*quantizer.inputs, None)[1:3])
    zero = np.zeros((), np.uint8) if zero is None else zero
    return zero.dtype, int(zero.min()), *([] if scale is None else scale.ravel().tolist())


def ends_of(grid: Grid) -> tuple[float, float]:
    """Return the lowest and the highest number of a grid; 0 if they are not known."""
    kind, zero, *scale = grid
    if not scale or kind.kind not in "iu":
        return 0, 0
    codes = np.iinfo(kind)
    return max(scale) * (codes.min - zero), max(scale) * (codes.max - zero)
