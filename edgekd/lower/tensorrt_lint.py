"""Mistakes in a Q/DQ graph that TensorRT refuses, misreads or pays for, found by reading it.

Each check finds one mistake and names the row of TensorRT's rule table that the graph breaks. TensorRT
executes quantizers where they stand, except that a DequantizeLinear moves down, and a QuantizeLinear up,
through operators that only move numbers.
"""

from collections.abc import Callable, Iterator

import numpy as np
import onnx
import onnx_ir as ir

from edgekd.core.tensorrt_rules import tensorrt_rule
from edgekd.lower.graph import array, attribute, is_op, name_of, producer
from edgekd.lower.lint import LintFinding, Mistakes, node_name
from edgekd.lower.qdq import LAYERS, MOVES, readers_of, source_of
from edgekd.lower.quantize_signed import HIGHEST, clamp_bounds
from edgekd.lower.sign import is_non_negative

OPSETS = (9, 20)
_DOMAINS = ("", "ai.onnx", "trt")
_INTEGER_OPERATORS = (
    "QLinearConv",
    "QLinearMatMul",
    "ConvInteger",
    "MatMulInteger",
    "DynamicQuantizeLinear",
)
_MOVED = (*MOVES, "Flatten", "Split", "Pad", "Expand", "Gather")
_OF_CODES = (*_MOVED, "Clip", "Concat", "Resize")
_HALF = 2.0  # a Clip that lets twice the grid pass was made for codes up to 255


def lint_tensorrt(model: ir.Model) -> tuple[LintFinding, ...]:
    """Return every mistake in the order of the graph's operators; nothing is run or changed."""
    found = [
        LintFinding(row, node_name(node), what, tensorrt_rule(row).advice, severity)
        for node in model.graph
        for check in CHECKS
        for row, what, severity in check(node)
    ]
    return (*_opset(model), *found)


def multiplies_codes(node: ir.Node) -> bool:
    """Whether both inputs of a product are quantized: else TensorRT computes it in float."""
    return all(_dequantizer_of(value) is not None for value in node.inputs[:2])


def _opset(model: ir.Model) -> Iterator[LintFinding]:
    opset = model.opset_imports.get("", OPSETS[1])
    if not OPSETS[0] <= opset <= OPSETS[1]:
        row = tensorrt_rule("operators")
        what = f"opset {opset}; TensorRT 10 reads {OPSETS[0]} to {OPSETS[1]}"
        yield LintFinding(row.name, model.graph.name or "the graph", what, row.advice, "risk")


def _operators(node: ir.Node) -> Mistakes:
    """An operator is none of ONNX, or one that computes with codes."""
    if node.domain not in _DOMAINS:
        if onnx.defs.has(node.op_type):
            yield "operators", f"is of the domain {node.domain}, but read as ONNX's {node.op_type}", "risk"
        else:
            yield "operators", f"is {node.op_type} of the domain {node.domain}", "refused"
    elif is_op(node, *_INTEGER_OPERATORS):
        yield "operators", f"TensorRT has no {node.op_type}", "refused"


def _zero_point(node: ir.Node) -> Mistakes:
    """Codes are not int8 with zero point 0."""
    if not is_op(node, "QuantizeLinear", "DequantizeLinear"):
        return
    above = source_of(node.inputs[0], *_OF_CODES) if is_op(node, "DequantizeLinear") else None
    if is_op(above, "QuantizeLinear") or _weight_kind(node) is not None or _is_uint8_input(node.inputs[0]):
        return  # what is wrong is said of the quantizer above, of the weights, or of the pixels
    zero = array((*node.inputs, None)[2])
    if zero is not None and zero.any():
        yield "int8_codes", f"its zero point is {int(zero.ravel()[zero.ravel() != 0][0])}", "refused"
    elif is_op(node, "QuantizeLinear") and _makes_uint8(node):
        if is_non_negative(node.inputs[0]):
            what = "its codes are uint8 with zero point 0: those above 127 are clipped"
            yield "relu_range", what, "wrong"
        else:
            yield "int8_codes", "its codes are uint8, and read as int8", "wrong"


def _clip_range(node: ir.Node) -> Mistakes:
    """A Clip in front of quantizers alone lets pass twice what int8 codes reach."""
    high = clamp_bounds(node)[1] if is_op(node, "Clip") and _has_constant_bounds(node) else np.inf
    quantizers, others = readers_of(node.outputs[0], *MOVES)
    for quantizer in quantizers if np.isfinite(high) and not others else ():
        scale = array(quantizer.inputs[1])
        end = HIGHEST * float(scale.max()) if scale is not None else np.inf
        if high >= _HALF * end and not _makes_uint8(quantizer):
            yield "relu_range", f"clips to {high:g}, but {node_name(quantizer)} ends at {end:g}", "risk"


def _scales(node: ir.Node) -> Mistakes:
    """Scales are not positive, or not the one of a tensor."""
    if not is_op(node, "QuantizeLinear", "DequantizeLinear"):
        return
    scale = array(node.inputs[1])
    if scale is None:
        yield "positive_scale", "its scale is computed at run time", "risk"
    elif not (scale > 0).all():
        yield "positive_scale", f"its lowest scale is {scale.min():g}", "refused"
    elif scale.size > 1 and is_op(node, "QuantizeLinear") and array(node.inputs[0]) is None:
        yield "positive_scale", f"a tensor of activations has {scale.size} scales", "float"


def _bias(node: ir.Node) -> Mistakes:
    """A DequantizeLinear makes a bias."""
    if _weight_kind(node) is ir.DataType.INT32:
        yield "float_bias", f"makes the bias of {_readers(node)}", "refused"


def _weights(node: ir.Node) -> Mistakes:
    """Weights are no INT8 initializer."""
    kind = _weight_kind(node)
    if kind in (None, ir.DataType.INT8, ir.DataType.INT32):
        return
    value = node.inputs[0]
    assert value is not None
    unpacked = value.producer()
    layers = [use.node for use in node.outputs[0].uses() if is_op(use.node, *LAYERS)]
    if unpacked is not None:
        yield "int8_weights", f"its weights are unpacked by {unpacked.op_type}", "refused"
    elif kind is not ir.DataType.INT4:
        yield "int8_weights", f"its weights are {kind}", "refused"
    elif any(is_op(layer, "Conv") for layer in layers):
        quantized = any(_dequantizer_of(layer.inputs[0]) is not None for layer in layers)
        yield "int8_weights", "a convolution has INT4 weights", "refused" if quantized else "float"


def _weight_axis(node: ir.Node) -> Mistakes:
    """Scales of a layer's weights lie along another axis than the output channels."""
    weights = producer(node, 1, "DequantizeLinear") if is_op(node, *LAYERS) else None
    scale = None if weights is None else array(weights.inputs[1])
    codes = None if weights is None else array(weights.inputs[0])
    if weights is None or scale is None or codes is None or scale.ndim != 1 or scale.size < 2:
        return
    output = 0 if is_op(node, "Conv") or attribute(node, "transB", 0) else codes.ndim - 1
    axis = attribute(weights, "axis", 1) % codes.ndim
    if axis != output:
        what = f"the scales of its weights lie along axis {axis}, its output channels along axis {output}"
        yield "weight_axis", f"{what}: it runs in float", "float"


def _one_side(node: ir.Node) -> Mistakes:
    """Of a layer's input and weights one is float."""
    if not is_op(node, *LAYERS):
        return
    x, w = (_dequantizer_of(value) for value in node.inputs[:2])
    weights_only = w is not None and _weight_kind(w) is ir.DataType.INT4
    if (x is None) == (w is None) or (x is None and weights_only):
        return
    is_float, quantized = ("weights", "input") if w is None else ("input", "weights")
    what = f"its {is_float} is float, its {quantized} quantized: it runs in float, and so does what it makes"
    yield "both_quantized", what.replace("weights is", "weights are"), "float"


def _two_quantizers(node: ir.Node) -> Mistakes:
    """A quantizer reads numbers of another grid."""
    source = source_of(node.inputs[0], *_MOVED) if is_op(node, "QuantizeLinear") else None
    if source is None or not is_op(source, "DequantizeLinear") or _weight_kind(source) is not None:
        return
    before, behind = array(source.inputs[1]), array(node.inputs[1])
    if before is None or behind is None or not np.array_equal(before, behind):
        yield "one_quantizer", f"reads {node_name(source)} of another grid", "risk"


def _residual(node: ir.Node) -> Mistakes:
    """Both inputs of a sum are quantized, and a convolution makes one of them."""
    sources = [_dequantizer_of(value) for value in node.inputs] if is_op(node, "Add") else []
    for source in sources if all(source is not None for source in sources) else ():
        conv = producer(producer(source, 0, "QuantizeLinear"), 0, "Conv")
        if conv is not None and len(list(conv.outputs[0].uses())) == 1:
            what = (
                f"both inputs are quantized, so that {node_name(conv)} cannot add the other one to its result"
            )
            yield "residual_add", what, "risk"


def _pixels(node: ir.Node) -> Mistakes:
    """Something else than a Cast computes with a uint8 input."""
    if not is_op(node, "Cast", "Shape") and any(map(_is_uint8_input, node.inputs)):
        yield "pixels", "reads a uint8 input of the network", "refused"


CHECKS: tuple[Callable[[ir.Node], Mistakes], ...] = (
    _operators,
    _zero_point,
    _clip_range,
    _scales,
    _bias,
    _weights,
    _weight_axis,
    _one_side,
    _two_quantizers,
    _residual,
    _pixels,
)


def _makes_uint8(quantizer: ir.Node) -> bool:
    """Whether a QuantizeLinear makes uint8: ONNX's default where neither zero point nor attribute says it."""
    zero = array((*quantizer.inputs, None)[2])
    if zero is not None:
        return zero.dtype == np.uint8
    return attribute(quantizer, "output_dtype", 0) in (0, ir.DataType.UINT8.value)


def _weight_kind(node: ir.Node) -> ir.DataType | None:
    """Return the type of the constant that a DequantizeLinear reads, in the file; None if it reads none."""
    value = node.inputs[0] if is_op(node, "DequantizeLinear") else None
    if value is None or array(value) is None:
        return None
    while value is not None and (maker := value.producer()) is not None and not is_op(maker, "Constant"):
        value = maker.inputs[0]  # unpacked when a runtime loads the file
    stored = None if value is None else ir.convenience.get_const_tensor(value)
    return None if stored is None else stored.dtype


def _dequantizer_of(value: ir.Value | None) -> ir.Node | None:
    """Return the DequantizeLinear that ``value`` comes from, if what stands between only moves numbers."""
    source = source_of(value, *_MOVED)
    return source if is_op(source, "DequantizeLinear") else None


def _is_uint8_input(value: ir.Value | None) -> bool:
    return value is not None and value.is_graph_input() and value.dtype is ir.DataType.UINT8


def _has_constant_bounds(clip: ir.Node) -> bool:
    return all(bound is None or array(bound) is not None for bound in clip.inputs[1:])


def _readers(node: ir.Node) -> str:
    names = [node_name(use.node) for use in node.outputs[0].uses()]
    return " and ".join(names) or name_of(node.outputs[0])
