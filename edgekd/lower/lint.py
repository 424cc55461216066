"""Mistakes in a Q/DQ graph that ONNX Runtime's CPU kernels punish, found by reading it.

Each check finds one mistake and names the row of the rule table that the graph breaks. They rely on what
ONNX Runtime 1.32 was seen to do on x86-64:

- A ReLU or Clip disappears in the quantizer behind it if the grid holds nothing beyond its bounds; otherwise
  it runs in float, and so does the operator before it.
- Of two quantizers in sequence one is deleted if they have one type and nothing else reads what is between.
- A Gemm, or a MatMul with a bias, needs zero points, and takes every int32 bias for one in units of
  ``x_scale * w_scale``. A Conv takes it so if the scale is nearly right, and otherwise runs in float.
- Float weights of a Conv or Gemm with quantized input and result are quantized by ONNX Runtime itself.
- A sum, a product or the mean of a window becomes an int32 before it is clamped; beyond one it wraps to the
  lowest.
- x86 without VNNI adds two products of uint8 and int8 in 16 bits, except in depthwise convolutions.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekd.core.rules import Role, rule, rules_for
from edgekd.lower.graph import array, attribute, is_op, name_of, producer
from edgekd.lower.qdq import (
    CLAMPS,
    LAYERS,
    MOVES,
    dequantizer_of,
    ends_of,
    grid_of,
    has_kernel,
    is_quantized,
    layer_of,
    readers_of,
    result_readers,
    source_of,
)
from edgekd.lower.saturation import LARGEST_PAIR, is_depthwise, may_saturate, summed_rows

_SAY_SO_THEMSELVES = {"Add", "Mul", "BatchNormalization", "ReduceMean"}  # if what they read is not quantized
_SPATIAL_AXES = ([2, 3], [-2, -1], [2, 3, 4], [-3, -2, -1])
_BIAS_TOLERANCE, _CONV_TOLERANCE = 1e-3, 0.023  # relative error of a bias scale: no mistake, no float
_ROUNDING = 1e-6  # relative: scales are float32
_INT32_STEPS = 2**31
_LARGEST_TRAINED = 65504.0  # of half precision: larger numbers are taken for those of a diverged training
_TINY = 1e-30  # a dead channel's scale may be 0

Severity = Literal["float", "wrong", "risk", "refused"]
Mistakes = Iterator[tuple[str, str, Severity]]


@dataclass(frozen=True)
class LintFinding:
    """One mistake.

    Attributes:
        rule: The row of the rule table.
        node: Name of the operator, or of its result.
        what: What is wrong with it.
        fix: The row's advice.
        severity: ``float``: it costs an integer kernel. ``wrong``: the runtime computes other numbers than
            the graph says. ``risk``: on some machines it does, or it costs time. ``refused``: the runtime
            does not read the file.
    """

    rule: str
    node: str
    what: str
    fix: str
    severity: Severity


def lint(model: ir.Model) -> tuple[LintFinding, ...]:
    """Return every mistake in the order of the graph's operators; nothing is run or changed."""
    return tuple(
        LintFinding(row, node_name(node), what, rule(row).advice, severity)
        for node in model.graph
        for check in CHECKS
        for row, what, severity in check(node)
    )


def node_name(node: ir.Node) -> str:
    """Return how a finding calls an operator: by its name, or by that of its result."""
    return node.name or name_of(node.outputs[0])


def _two_quantizers(node: ir.Node) -> Mistakes:
    """A quantizer reads numbers of another grid."""
    source = source_of(node.inputs[0], *MOVES, "Flatten", "Split") if is_op(node, "QuantizeLinear") else None
    if source is None or not is_op(source, "DequantizeLinear") or grid_of(source) == grid_of(node):
        return
    first = producer(source, 0, "QuantizeLinear")
    alone = first is not None and readers_of(first.outputs[0]) == ([], ["DequantizeLinear"])
    alone = alone and readers_of(source.outputs[0]) == ([node], []) and not node.outputs[0].is_graph_output()
    if alone and grid_of(source)[0] == grid_of(node)[0]:
        yield (
            "one_quantizer",
            f"reads {node_name(source)} of another grid: one of the two is deleted",
            "wrong",
        )
    else:
        yield "one_quantizer", f"reads {node_name(source)} of another grid", "float"


def _raw_result(node: ir.Node) -> Mistakes:
    """The result of an operator does not go to one quantizer alone."""
    if not has_kernel(node):
        return
    quantizers, others = result_readers(node)
    grids = {grid_of(quantizer) for quantizer in quantizers}
    raw = sorted(set(others) - _SAY_SO_THEMSELVES)
    may_be_raw = is_op(node, "Add", "Mul") or (is_op(node, "Gemm", "MatMul") and not grids)
    if raw and not may_be_raw:
        yield _row(node), f"its result goes to {', '.join(raw)} without a quantizer", "float"
    elif len(grids) > 1:
        yield "one_quantizer", f"its result has {len(grids)} quantizers of different grids", "float"


def _clamp_in_grid(node: ir.Node) -> Mistakes:
    """The grid behind a ReLU or Clip reaches beyond its bounds."""
    if not is_op(node, *CLAMPS) or not has_kernel(source_of(node.inputs[0])):
        return
    low, high = _bounds(node)
    for quantizer in readers_of(node.outputs[0], *MOVES)[0]:
        lowest, highest = ends_of(grid_of(quantizer))
        if lowest < low or highest > high * (1 + _ROUNDING):
            what = f"clamps to {low:g}..{high:g}, but {node_name(quantizer)} reaches {lowest:g}..{highest:g}"
            yield "relu" if high == np.inf else "relu6", what, "float"


def _clamp_of_numbers(node: ir.Node) -> Mistakes:
    """A ReLU or Clip reads dequantized numbers."""
    if is_op(node, *CLAMPS) and dequantizer_of(node.inputs[0]) is not None:
        yield "relu_on_codes", "clamps dequantized numbers", "float"


def _float_operand(node: ir.Node) -> Mistakes:
    """An addition or a product mixes quantized and float numbers."""
    if not is_op(node, "Add", "Mul") or layer_of(node)[0] is not None:
        return
    raw = [value for value in node.inputs if dequantizer_of(value) is None]
    if raw and any(map(is_quantized, node.inputs)):
        row = "scalar_operand" if any(array(value) is not None for value in raw) else _row(node)
        yield row, f"reads {', '.join(map(name_of, raw))} in float", "float"


def _float_weights(node: ir.Node) -> Mistakes:
    """A layer with quantized input has float weights."""
    if not is_op(node, *LAYERS) or array(node.inputs[1]) is None:
        return
    if dequantizer_of(node.inputs[0]) is not None:
        unasked = result_readers(node)[0] and not is_op(node, "MatMul")
        yield _row(node), "its weights are float", "wrong" if unasked else "float"


def _bare_weights(node: ir.Node) -> Mistakes:
    """A layer with quantized input dequantizes codes of 4 bits."""
    weights = dequantizer_of(node.inputs[1]) if is_op(node, *LAYERS) else None
    codes = weights.inputs[0] if weights is not None else None
    if codes is None or dequantizer_of(node.inputs[0]) is None:
        return
    if codes.dtype in (ir.DataType.INT4, ir.DataType.UINT4):
        yield "cast_weights", f"its weights are {codes.dtype.name}", "float"


def _float_bias(node: ir.Node) -> Mistakes:
    """Bias and result of a linear layer are float."""
    layer, bias = layer_of(node)
    linear = has_kernel(layer) and not is_op(layer, "Conv")
    if linear and array(bias) is not None and not result_readers(node)[0]:
        yield "gemm", "its bias and its result are float", "float"


def _bias_scale(node: ir.Node) -> Mistakes:
    """The codes of a bias are not in units of the accumulator."""
    layer, bias = layer_of(node)
    if layer is None:
        return
    x, w, b = (_scale(value) for value in (*layer.inputs[:2], bias))
    if x is None or w is None or b is None or w.ndim > 1:
        return
    unit = x.astype(np.float64) * w
    error = float(np.max(np.abs(b - unit) / np.maximum(np.abs(unit), _TINY)))
    if error > _BIAS_TOLERANCE:
        conv = is_op(layer, "Conv")
        what = f"the scale of its bias is {100 * error:.3g} % off x_scale * w_scale"
        yield "conv" if conv else "gemm", what, "float" if conv and error > _CONV_TOLERANCE else "wrong"


def _default_zero_point(node: ir.Node) -> Mistakes:
    """A linear layer leaves a zero point to its default."""
    layer, _ = layer_of(node)
    if layer is not None and has_kernel(layer) and not is_op(layer, "Conv"):
        sources = [source for source in map(dequantizer_of, layer.inputs[:2]) if source is not None]
        names = [node_name(source) for source in sources if (*source.inputs, None)[2] is None]
        if names:
            yield "gemm", f"{' and '.join(names)} without zero point", "float"


def _batch_norm(node: ir.Node) -> Mistakes:
    """A BatchNormalization follows a quantized layer."""
    if is_op(node, "BatchNormalization") and is_quantized(node.inputs[0]):
        yield "batch_norm", "is not folded into the layer before it", "float"


def _mean_for_pool(node: ir.Node) -> Mistakes:
    """A global pool is written as ReduceMean."""
    if is_op(node, "ReduceMean") and is_quantized(node.inputs[0]):
        axes = array(node.inputs[1]) if len(node.inputs) > 1 else attribute(node, "axes")
        if axes is not None and sorted(int(axis) for axis in axes) in _SPATIAL_AXES:
            yield "global_average_pool", "averages over the whole image", "float"


def _moved_numbers(node: ir.Node) -> Mistakes:
    """A Flatten, Split or Pad moves dequantized numbers."""
    if not is_op(node, "Flatten", "Split", "Pad") or dequantizer_of(node.inputs[0]) is None:
        return
    readers = [readers_of(output) for output in node.outputs]
    if is_op(node, "Pad"):
        pads = array((*node.inputs, None)[1]) if attribute(node, "mode", "constant") == "constant" else None
        around = pads is not None and not pads.reshape(2, -1)[:, :2].any()
        fine = around and readers in ([([], ["Conv"])], [([], ["AveragePool"])])  # it becomes part of them
    else:
        fine = all(quantizers and not others for quantizers, others in readers)
    if not fine:
        yield _row(node), "moves dequantized numbers", "float"


def _undecomposed(node: ir.Node) -> Mistakes:
    """An operator has integer kernels only in parts."""
    for row in rules_for(node.op_type):
        if row.role is Role.DECOMPOSE and dequantizer_of(node.inputs[0]) is not None:
            yield row.name, "has no integer kernel", "float"


def _overflow(node: ir.Node) -> Mistakes:
    """Operands hold more steps of the result's grid than an int32 counts."""
    if not is_op(node, "Add", "Mul", "AveragePool"):
        return
    ranges = [_range_of(value) for value in node.inputs]
    if not all(ranges):
        return
    if is_op(node, "Mul"):
        highest = max(math.prod(corner) for corner in product(*ranges))
    else:
        highest = sum(high for _, high in ranges)
    for quantizer in result_readers(node)[0]:
        step = max(grid_of(quantizer)[2:], default=0.0)
        if highest > _INT32_STEPS * step > 0:
            severity: Severity = "wrong" if highest > _LARGEST_TRAINED else "risk"  # else the result is dead
            yield (
                "overflow",
                f"reaches {highest / step:.1e} steps of its result's grid, beyond int32",
                severity,
            )


def _range_of(value: ir.Value | None) -> tuple[float, ...]:
    """Return the lowest and the highest number that a dequantized value can hold; empty if it is none."""
    source = dequantizer_of(value)
    if source is None:
        return ()
    codes = array(source.inputs[0])
    kind, zero, *scales = grid_of(source)
    if codes is None or len(scales) != 1:
        return ends_of((kind, zero, *scales))
    return tuple(scales[0] * (int(code) - zero) for code in (codes.min(), codes.max()))


def saturating_channels(node: ir.Node) -> NDArray[np.bool_]:
    """Say for each output channel of a layer whether two products that are added first can pass 16 bits.

    Returns:
        Shape (channels,), by the weights alone; empty if this is no layer of int8 codes.
    """
    weights = producer(node, 1, "DequantizeLinear") if is_op(node, *LAYERS) and has_kernel(node) else None
    codes = array(weights.inputs[0]) if weights is not None else None
    if codes is None or codes.dtype != np.int8:
        return np.zeros(0, bool)
    if is_op(node, "Conv"):
        if is_depthwise(codes, attribute(node, "group", 1)):
            return np.zeros(len(codes), bool)
        codes = summed_rows(codes)
    elif not attribute(node, "transB", 0):
        codes = np.swapaxes(codes, -1, -2)
    return np.asarray(may_saturate(codes).any(-1))


def _saturation(node: ir.Node) -> Mistakes:
    """Two products of a layer that are added first can pass 16 bits."""
    channels = saturating_channels(node)
    if channels.any():
        what = (
            f"{np.count_nonzero(channels)} of {channels.size} output channels add codes beyond {LARGEST_PAIR}"
        )
        yield "saturation", what, "risk"


CHECKS: tuple[Callable[[ir.Node], Mistakes], ...] = (
    _two_quantizers,
    _raw_result,
    _clamp_in_grid,
    _clamp_of_numbers,
    _float_operand,
    _float_weights,
    _bare_weights,
    _float_bias,
    _bias_scale,
    _default_zero_point,
    _batch_norm,
    _mean_for_pool,
    _moved_numbers,
    _undecomposed,
    _overflow,
    _saturation,
)


def _bounds(clamp: ir.Node) -> tuple[float, float]:
    low, high = (array(value) for value in (*clamp.inputs, None, None)[1:3])
    lowest = 0 if is_op(clamp, "Relu") else -np.inf
    return lowest if low is None else low.item(), np.inf if high is None else high.item()


def _scale(value: ir.Value | None) -> NDArray[np.float32] | None:
    source = dequantizer_of(value)
    return array(source.inputs[1]) if source is not None else None


def _row(node: ir.Node) -> str:
    return rules_for(node.op_type)[0].name
