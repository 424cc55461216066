"""Payload: the bytes of a file that no format could spare, and how each layer's weights are held in it."""

import math
from dataclasses import dataclass

import onnx_ir as ir

from edgekd.lower.graph import array, is_op, name_of, producer
from edgekd.lower.storage import code_bits

CHANNEL_BYTES = 12
"""Scale, bias and scale of the bias."""


@dataclass(frozen=True)
class LayerWeights:
    """The weights of one quantized layer in a file.

    Attributes:
        name: The layer.
        weights: Number of its codes.
        channels: Output channels, those of every use if it is used more than once.
        bits: That one code needs.
        stored_bits: That one code, or its index into the table, has in the file; what fills up the last byte,
            or the last three with 3 bits, is left out.
        table_values: Values in the table; 0 without one.
        lowest: Smallest code.
        highest: Largest code.
        zeros: Number of codes that are 0.
    """

    name: str
    weights: int
    channels: int
    bits: int
    stored_bits: int
    table_values: int
    lowest: int
    highest: int
    zeros: int

    @property
    def needed_bytes(self) -> int:
        """Codes of ``bits`` side by side, and the channels."""
        return math.ceil(self.weights * self.bits / 8) + CHANNEL_BYTES * self.channels

    @property
    def size_bytes(self) -> int:
        """Codes as they are stored, their table, and the channels."""
        codes_bytes = math.ceil(self.weights * self.stored_bits / 8)
        return codes_bytes + self.table_values + CHANNEL_BYTES * self.channels


def layer_weights(model: ir.Model) -> tuple[LayerWeights, ...]:
    """Return the quantized layers of a lowered graph in its order; one that is used twice, once."""
    uses: dict[ir.Value, list[ir.Node]] = {}
    for node in model.graph:
        dequantize = producer(node, 1, "DequantizeLinear") if is_op(node, "Conv", "Gemm", "MatMul") else None
        codes = dequantize.inputs[0] if dequantize is not None else None
        if dequantize is not None and codes is not None and array(codes) is not None:
            uses.setdefault(codes, []).append(dequantize)
    return tuple(_layer(codes, dequantizers) for codes, dequantizers in uses.items())


def _layer(value: ir.Value, dequantizers: list[ir.Node]) -> LayerWeights:
    stored, table, layout = value, None, None
    while (node := stored.producer()) is not None:
        if is_op(node, "Gather"):
            table = array(node.inputs[0])
        if is_op(node, "BitShift"):
            layout = array(node.inputs[1])
        source = node.inputs[1 if is_op(node, "Gather") else 0]
        assert source is not None
        stored = source
    codes, held = array(value), array(stored)
    assert codes is not None
    assert held is not None
    width = ir.DataType.from_numpy(held.dtype).bitwidth
    return LayerWeights(
        name=name_of(stored).removesuffix(".w"),
        weights=codes.size,
        channels=sum(_size(node.inputs[1]) for node in dequantizers),
        bits=code_bits(codes) if table is None else max(1, (table.size - 1).bit_length()),
        stored_bits=width if layout is None else width * layout.shape[1] // layout.shape[0],
        table_values=0 if table is None else table.size,
        lowest=int(codes.min()),
        highest=int(codes.max()),
        zeros=int((codes == 0).sum()),
    )


def _size(value: ir.Value | None) -> int:
    data = array(value)
    return 1 if data is None else data.size
