"""Raw uint8 pixels become int8 codes with zero point 0, in front of every first layer.

The pixel mark means ``scale * (u - zero_point)``. Centred codes such as -114..141 do not fit int8, those
of ``u - 128`` do, exactly. A layer is linear, so the difference is a constant of each output channel and
goes into its bias:

    w . scale * (u - zero_point) = w . scale * (u - 128) + scale * (128 - zero_point) * sum(w)

That holds where every weight meets a pixel. So a convolution's zero padding, which means the pixel
``zero_point``, is written as a Pad of the pixels, in front of the subtraction.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekd.core.tensorrt_rules import tensorrt_rule
from edgekd.errors import LowerError
from edgekd.lower.graph import (
    CODES_SUFFIX,
    array,
    attribute,
    constant,
    graph_of,
    insert_before,
    insert_behind,
    is_mark,
    is_op,
    producer,
    replace,
)
from edgekd.lower.lowering_pass import LoweringPass
from edgekd.lower.qdq import LAYERS, MOVES

MIDDLE = 128
"""The pixel that becomes code 0."""


class ShiftPixelsPass(LoweringPass):
    """``Conv(Pixels(image), w, b)`` -> ``Conv(DQ(Q(Pad(planes) - 128)), w, b')``.

    The planes are the pixels as float, channels first: TensorRT transposes no uint8. What moves them on their
    way to the first layer moves these numbers.
    """

    def visit(self, node: ir.Node) -> bool:
        """Rewrite the pixel mark."""
        if not is_mark(node, "Pixels"):
            return False
        image = node.inputs[0]
        numbers = insert_before(node, "Cast", [image], attributes={"to": ir.DataType.FLOAT.value})
        planes = insert_before(node, "Transpose", [numbers], attributes={"perm": [0, 3, 1, 2]})
        border = _Border(float(attribute(node, "scale")), int(attribute(node, "zero_point")))
        replace(node, planes)
        for reader, index in list(_readers(planes)):
            border.put_before(reader, index)
        return True


class _Border:
    """From float pixels to int8 codes; readers of the same pixels share it."""

    def __init__(self, scale: float, zero_point: int) -> None:
        self.scale = scale
        self.zero_point = zero_point
        self.made: dict[tuple[ir.Value | None, tuple[int, ...]], ir.Value] = {}

    def put_before(self, reader: ir.Node, index: int) -> None:
        """Quantize what a layer reads; other operators, a quantizer among them, get the numbers in float."""
        if _pads_with_zeros(reader):
            reader.resize_inputs(max(3, len(reader.inputs)))
            reader.replace_input_with(2, self._pixel(reader))
            return
        if not is_op(reader, *LAYERS):
            reader.replace_input_with(index, self._numbers(reader, index))
            return
        pads: tuple[int, ...] = ()
        if self.zero_point != MIDDLE:
            pads = _take_padding(reader) if is_op(reader, "Conv") else ()
            self._shift(reader, index)
        key = reader.inputs[index], pads
        if key not in self.made:
            self.made[key] = self._codes(reader, index, pads)
        reader.replace_input_with(index, self.made[key])

    def _codes(self, reader: ir.Node, index: int, pads: Sequence[int]) -> ir.Value:
        graph, pixels = graph_of(reader), reader.inputs[index]
        assert pixels is not None
        if any(pads):
            around = constant(graph, np.array(pads, np.int64), "pixels.pads")
            pixels = insert_before(reader, "Pad", [pixels, around, self._pixel(reader)])
        shifted = insert_before(reader, "Sub", [pixels, constant(graph, np.float32(MIDDLE), "pixels.middle")])
        zero = constant(graph, np.int8(0), "zero")
        one = constant(graph, np.float32(1), "pixels.step")
        name = f"pixels{len(self.made) or ''}{CODES_SUFFIX}"
        codes = insert_before(reader, "QuantizeLinear", [shifted, one, zero], output=name)
        scale = constant(graph, np.float32(self.scale), "pixels.s")
        return insert_before(reader, "DequantizeLinear", [codes, scale, zero])

    def _numbers(self, reader: ir.Node, index: int) -> ir.Value:
        scale = constant(graph_of(reader), np.float32(self.scale), "pixels.s")
        shifted = insert_before(reader, "Sub", [reader.inputs[index], self._pixel(reader)])
        return insert_before(reader, "Mul", [shifted, scale])

    def _pixel(self, node: ir.Node) -> ir.Value:
        return constant(graph_of(node), np.float32(self.zero_point), "pixels.zero")

    def _shift(self, layer: ir.Node, index: int) -> None:
        """Add to the bias what the codes lack."""
        sums, bias = _sums(layer) if index == 0 else None, (*layer.inputs, None)[2]
        old = np.zeros(()) if bias is None else array(bias)
        if sums is None or old is None:
            row = tensorrt_rule("pixel_shift")
            reads = f"{layer.op_type} reads pixels of zero point {self.zero_point}"
            what = f"{reads}, but its weights or bias are no constants [{row.name}]"
            raise LowerError(what, where=layer.name or "behind the image", fix=row.advice)
        shift = self.scale * (MIDDLE - self.zero_point) * sums
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
