"""Raw uint8 pixels become int8 codes with zero point 0, in front of every first layer.

The pixel mark means ``scale * (u - zero_point)``. Centred codes such as -114..141 do not fit int8, those
of ``u - 128`` do, exactly. A layer is linear, so the difference is a constant of each output channel and
goes into its bias:

    w . scale * (u - zero_point) = w . scale * (u - 128) + scale * (128 - zero_point) * sum(w)

That holds where every weight meets a pixel. So a convolution's zero padding, which means the pixel
``zero_point``, is written as a Pad of the pixels.
"""

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekd.core.tensorrt_rules import tensorrt_rule
from edgekd.errors import LowerError
from edgekd.lower.graph import (
    array,
    attribute,
    constant,
    graph_of,
    insert_behind,
    is_mark,
    is_op,
    producer,
    replace,
)
from edgekd.lower.lowering_pass import LoweringPass
from edgekd.lower.pixel_border import PixelBorder, SignedBorder
from edgekd.lower.qdq import LAYERS, MOVES


class ShiftPixelsPass(LoweringPass):
    """``Conv(Pixels(image), w, b)`` -> ``Conv(codes of the image, w, b')``.

    What moves the pixels on their way to the first layer moves what stands for them.

    Args:
        border: The form of the codes.
    """

    def __init__(self, border: type[PixelBorder] = SignedBorder) -> None:
        self.border = border

    def visit(self, node: ir.Node) -> bool:
        """Rewrite the pixel mark."""
        if not is_mark(node, "Pixels"):
            return False
        border = self.border(float(attribute(node, "scale")), int(attribute(node, "zero_point")))
        planes = border.planes(node)
        replace(node, planes)
        made: dict[tuple[ir.Value | None, tuple[int, ...]], ir.Value] = {}
        for reader, index in list(_readers(planes)):
            _put_before(reader, index, border, made)
        return True


def _put_before(
    reader: ir.Node,
    index: int,
    border: PixelBorder,
    made: dict[tuple[ir.Value | None, tuple[int, ...]], ir.Value],
) -> None:
    """Quantize what a layer reads; other operators, a quantizer among them, get the numbers in float."""
    if _pads_with_zeros(reader):
        reader.resize_inputs(max(3, len(reader.inputs)))
        reader.replace_input_with(2, border.pixel(reader))
        return
    if not is_op(reader, *LAYERS):
        reader.replace_input_with(index, border.numbers(reader, index))
        return
    pads: tuple[int, ...] = ()
    if border.zero_point != border.middle:
        pads = _take_padding(reader) if is_op(reader, "Conv") else ()
        _shift(reader, index, border)
    key = reader.inputs[index], pads
    if key not in made:
        made[key] = border.codes(reader, index, pads, number=len(made))
    reader.replace_input_with(index, made[key])


def _shift(layer: ir.Node, index: int, border: PixelBorder) -> None:
    """Add to the bias what the codes lack."""
    sums, bias = _sums(layer) if index == 0 else None, (*layer.inputs, None)[2]
    old = np.zeros(()) if bias is None else array(bias)
    if sums is None or old is None:
        row = tensorrt_rule("pixel_shift")
        reads = f"{layer.op_type} reads pixels of zero point {border.zero_point}"
        what = f"{reads}, but its weights or bias are no constants [{row.name}]"
        raise LowerError(what, where=layer.name or "behind the image", fix=row.advice)
    shift = border.scale * (border.middle - border.zero_point) * sums
    if is_op(layer, "MatMul"):
        summand = constant(graph_of(layer), shift.astype(np.float32), "pixels.shift")
        insert_behind(layer.outputs[0], "Add", [summand])
        return
    total = (shift + old.astype(np.float64)).astype(np.float32)
    layer.resize_inputs(3)
    layer.replace_input_with(2, constant(graph_of(layer), total, "pixels.bias"))


def _readers(value: ir.Value) -> Iterator[tuple[ir.Node, int]]:
    """Return what computes with the pixels, with the input that reads them: behind all that moves them.

    A padding with zeros is among them: it has to write another number.
    """
    if value.is_graph_output():
        row = tensorrt_rule("pixel_shift")
        what = f"the pixels are an output of the network [{row.name}]"
        raise LowerError(what, where=value.name or "", fix=row.advice)
    for use in list(value.uses()):
        padded = _pads_with_zeros(use.node)
        if padded:
            yield use.node, use.idx
        if padded or (is_op(use.node, *MOVES, "Flatten", "Split") and use.idx == 0):
            for output in use.node.outputs:
                yield from _readers(output)
        elif not is_op(use.node, "Shape"):
            yield use.node, use.idx


def _pads_with_zeros(node: ir.Node) -> bool:
    if not is_op(node, "Pad") or attribute(node, "mode", "constant") != "constant":
        return False
    padding = array(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else np.zeros(1)
    return padding is not None and not padding.any()


def _take_padding(conv: ir.Node) -> tuple[int, ...]:
    """Take a convolution's padding off it; return it as a Pad of all axes states it."""
    pads = tuple(attribute(conv, "pads", ()))
    if attribute(conv, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        row = tensorrt_rule("pixel_shift")
        what = f"the first convolution pads by auto_pad [{row.name}]"
        raise LowerError(what, where=conv.name or "", fix="give it explicit pads")
    if not any(pads):
        return ()
    conv.attributes["pads"] = ir.AttrInt64s("pads", [0] * len(pads))
    half = len(pads) // 2
    return (0, 0, *pads[:half], 0, 0, *pads[half:])


def _sums(layer: ir.Node) -> NDArray[np.float64] | None:
    """Return the sum of the weights of each output of a plain layer; None if they are no constants."""
    plain = (
        not attribute(layer, "transA", 0) and attribute(layer, "alpha", 1) == attribute(layer, "beta", 1) == 1
    )
    weights = _weights(layer) if plain else None
    if weights is None:
        return None
    per_output = weights.reshape(len(weights), -1) if is_op(layer, "Conv") else weights
    inputs = -1 if is_op(layer, "Conv") or attribute(layer, "transB", 0) else -2
    sums: NDArray[np.float64] = per_output.sum(axis=inputs)
    return sums


def _weights(layer: ir.Node) -> NDArray[np.float64] | None:
    dequantize = producer(layer, 1, "DequantizeLinear")
    if dequantize is None:
        plain = array(layer.inputs[1])
        return None if plain is None else plain.astype(np.float64)
    codes, scale = (array(value) for value in dequantize.inputs[:2])
    if codes is None or scale is None:
        return None
    axis = int(attribute(dequantize, "axis", 1)) if scale.ndim else 0
    shape = [-1 if dim == axis else 1 for dim in range(codes.ndim)] if scale.ndim else ()
    return codes.astype(np.float64) * scale.astype(np.float64).reshape(shape)
