"""How raw uint8 pixels enter a graph as codes with zero point 0: as int8, or as uint8."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgekd.lower.graph import CODES_SUFFIX, constant, graph_of, insert_before, producer

_TO_PLANES = [0, 3, 1, 2]


class PixelBorder(ABC):
    """From the image to codes.

    Attributes:
        middle: The pixel that becomes code 0.
        scale: Units per pixel step.
        zero_point: The pixel that means the number 0.
    """

    middle: ClassVar[int]

    def __init__(self, scale: float, zero_point: int) -> None:
        self.scale = scale
        self.zero_point = zero_point

    @abstractmethod
    def planes(self, mark: ir.Node) -> ir.Value:
        """Return the pixels, channels first, in front of the mark that reads the image."""

    @abstractmethod
    def pixel(self, node: ir.Node) -> ir.Value:
        """Return the pixel that means 0, as the planes hold pixels."""

    @abstractmethod
    def codes(self, reader: ir.Node, index: int, pads: Sequence[int], *, number: int) -> ir.Value:
        """Return what an input of a layer is to read: dequantized codes of its pixels, padded.

        Args:
            reader: The layer.
            index: Of the input.
            pads: As Pad takes them, of all axes; empty for none.
            number: How many such tensors there are already.
        """

    @abstractmethod
    def numbers(self, reader: ir.Node, index: int) -> ir.Value:
        """Return what an input of an operator that is no layer is to read."""

    def _padded(self, reader: ir.Node, index: int, pads: Sequence[int]) -> ir.Value:
        pixels = reader.inputs[index]
        assert pixels is not None
        if not any(pads):
            return pixels
        around = constant(graph_of(reader), np.array(pads, np.int64), "pixels.pads")
        return insert_before(reader, "Pad", [pixels, around, self.pixel(reader)])


class SignedBorder(PixelBorder):
    """int8: ``DQ(Q(Cast(image) - 128))``. The planes are float, for TensorRT transposes no uint8."""

    middle = 128

    def planes(self, mark: ir.Node) -> ir.Value:
        """Cast and transpose the image."""
        numbers = insert_before(mark, "Cast", [mark.inputs[0]], attributes={"to": ir.DataType.FLOAT.value})
        return insert_before(mark, "Transpose", [numbers], attributes={"perm": _TO_PLANES})

    def pixel(self, node: ir.Node) -> ir.Value:
        """Return it as float32."""
        return constant(graph_of(node), np.float32(self.zero_point), "pixels.zero")

    def codes(self, reader: ir.Node, index: int, pads: Sequence[int], *, number: int) -> ir.Value:
        """Subtract 128 and quantize by 1, which rounds nothing."""
        graph = graph_of(reader)
        middle = constant(graph, np.float32(self.middle), "pixels.middle")
        shifted = insert_before(reader, "Sub", [self._padded(reader, index, pads), middle])
        zero = constant(graph, np.int8(0), "zero")
        one = constant(graph, np.float32(1), "pixels.step")
        name = f"pixels{number or ''}{CODES_SUFFIX}"
        codes = insert_before(reader, "QuantizeLinear", [shifted, one, zero], output=name)
        scale = constant(graph, np.float32(self.scale), "pixels.s")
        return insert_before(reader, "DequantizeLinear", [codes, scale, zero])

    def numbers(self, reader: ir.Node, index: int) -> ir.Value:
        """Return ``(pixel - zero_point) * scale``."""
        scale = constant(graph_of(reader), np.float32(self.scale), "pixels.s")
        shifted = insert_before(reader, "Sub", [reader.inputs[index], self.pixel(reader)])
        return insert_before(reader, "Mul", [shifted, scale])


class UnsignedBorder(PixelBorder):
    """uint8: ``DQ(image)`` with zero point 0."""

    middle = 0

    def planes(self, mark: ir.Node) -> ir.Value:
        """Transpose the image."""
        return insert_before(mark, "Transpose", [mark.inputs[0]], attributes={"perm": _TO_PLANES})

    def pixel(self, node: ir.Node) -> ir.Value:
        """Return it as uint8."""
        return constant(graph_of(node), np.uint8(self.zero_point), f"zp{self.zero_point}")

    def codes(self, reader: ir.Node, index: int, pads: Sequence[int], *, number: int) -> ir.Value:
        """Dequantize the pixels.

        OpenVINO runs a convolution behind a Transpose of the image in float unless an operator on uint8
        stands between: a Clip that clips nothing.
        """
        ends = [constant(graph_of(reader), np.uint8(end), f"code{end}") for end in (0, 255)]
        pixels = insert_before(reader, "Clip", [self._padded(reader, index, pads), *ends])
        return self._dequantized(reader, pixels, 0)

    def numbers(self, reader: ir.Node, index: int) -> ir.Value:
        """Dequantize the pixels as they are meant."""
        pixels = reader.inputs[index]
        assert pixels is not None
        return self._dequantized(reader, pixels, self.zero_point)

    def _padded(self, reader: ir.Node, index: int, pads: Sequence[int]) -> ir.Value:
        """Pad the image itself where it can be: OpenVINO drops a Transpose behind a Pad, not before one."""
        transpose = producer(reader, index, "Transpose")
        image = None if transpose is None else transpose.inputs[0]
        if image is None or not image.is_graph_input() or not any(pads):
            return super()._padded(reader, index, pads)
        ends = np.array(pads, np.int64).reshape(2, -1)[:, np.argsort(_TO_PLANES)]
        around = constant(graph_of(reader), ends.ravel(), "pixels.pads")
        padded = insert_before(reader, "Pad", [image, around, self.pixel(reader)])
        return insert_before(reader, "Transpose", [padded], attributes={"perm": _TO_PLANES})

    def _dequantized(self, reader: ir.Node, pixels: ir.Value, zero_point: int) -> ir.Value:
        graph = graph_of(reader)
        scale = constant(graph, np.float32(self.scale), "pixels.s")
        zero = constant(graph, np.uint8(zero_point), f"zp{zero_point}")
        return insert_before(reader, "DequantizeLinear", [pixels, scale, zero])
