"""Payload: the bytes of a file that no format could spare, and how each layer's weights are held in it."""

import math
from dataclasses import dataclass

import onnx_ir as ir

from edgekd.lower.graph import array, is_op, name_of, weights_of
from edgekd.lower.storage import needed_bits

CHANNEL_BYTES = 12
"""Scale, bias and scale of the bias."""


@dataclass(frozen=True)
class LayerWeights:
    """The weights of one quantized layer in a file.

    Attributes:
        name: The layer.
        weights: Number of its codes.
        channels: Output channels, those of every use if it is used more than once.
        bits: That one code needs, or its index into a table, whatever form the file has.
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
        if (dequantize := weights_of(node)) is not None:
            uses.setdefault(_unpacking(dequantize)[-1], []).append(dequantize)
    return tuple(_layer(dequantizers) for dequantizers in uses.values())


def _layer(dequantizers: list[ir.Node]) -> LayerWeights:
    values = _unpacking(dequantizers[0])
    codes, held = array(values[0]), array(values[-1])
    assert codes is not None
    assert held is not None
    operators = [node for value in values if (node := value.producer()) is not None]
    table = next((array(node.inputs[0]) for node in operators if is_op(node, "Gather")), None)
    layout = next((array(node.inputs[1]) for node in operators if is_op(node, "BitShift")), None)
    width = ir.DataType.from_numpy(held.dtype).bitwidth
    return LayerWeights(
        name=name_of(values[-1]).removesuffix(".w"),
        weights=codes.size,
        channels=sum(_size(node.inputs[1]) for node in dequantizers),
        bits=needed_bits(codes),
        stored_bits=width if layout is None else width * layout.shape[1] // layout.shape[0],
        table_values=0 if table is None else table.size,
        lowest=int(codes.min()),
        highest=int(codes.max()),
        zeros=int((codes == 0).sum()),
    )


def _unpacking(dequantize: ir.Node) -> list[ir.Value]:
    """Return the codes, what they are computed from, and so on to what the file holds."""
    value = dequantize.inputs[0]
    assert value is not None
    found = [value]
    while (node := value.producer()) is not None:
        source = node.inputs[1 if is_op(node, "Gather") else 0]
        assert source is not None
        value = source
        found.append(value)
    return found


def _size(value: ir.Value | None) -> int:
    data = array(value)
    return 1 if data is None else data.size
