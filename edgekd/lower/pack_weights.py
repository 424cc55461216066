"""Weight codes of few bits are packed in the file, and unpacked by operators that run once, at load.

    4 bits            INT4 codes  -> Cast(INT8)
    2 bits            packed uint8 -> BitShift -> BitwiseAnd -> Cast(INT8) -> Reshape -> Sub(2)
    4 bits + table    UINT4 indices -> Cast(INT32) -> Gather(INT8 table)
    2 bits + table    packed uint8 -> BitShift -> BitwiseAnd -> Cast(INT32) -> Reshape -> Gather(INT8 table)

What comes out are the INT8 codes that were there before, so the same integer kernel runs. ONNX Runtime folds
all of it from 1.23 on; INT4 weights that are not cast would run in float.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekd.lower.graph import array, constant, graph_of, insert_before, is_op, name_of, producer
from edgekd.lower.lowering_pass import LoweringPass
from edgekd.lower.storage import Storage, smallest_storage

_OFFSET = 2
"""What the file adds to 2-bit codes -2..1: BitShift knows no signs."""


class PackWeightsPass(LoweringPass):
    """``DQ(codes int8)`` -> ``DQ(unpack(fewer bytes))``, once for every reader of the codes."""

    def visit(self, node: ir.Node) -> bool:
        """Pack the codes of one layer."""
        dequantize = producer(node, 1, "DequantizeLinear") if is_op(node, "Conv", "Gemm", "MatMul") else None
        value = dequantize.inputs[0] if dequantize is not None else None
        if dequantize is None or value is None or not value.is_initializer():
            return False
        codes = array(value)
        assert codes is not None
        storage = smallest_storage(codes)
        if storage.bits == 8:
            return False
        graph, name = graph_of(node), name_of(value)
        readers = [use.node for use in value.uses()]
        del graph.initializers[name]
        unpacked = _unpack(dequantize, codes, storage, name)
        for reader in readers:
            reader.replace_input_with(0, unpacked)
        return True


def _unpack(anchor: ir.Node, codes: NDArray[np.int8], storage: Storage, name: str) -> ir.Value:
    """Store ``codes`` under ``name`` and return, in front of ``anchor``, what equals them at run time."""
    graph, table = graph_of(anchor), storage.table
    if table is not None:
        indices = np.searchsorted(table, codes).astype(np.uint8)
        unpacked = _indices(anchor, indices, storage.bits, name)
        return _operator(anchor, "Gather", [constant(graph, table, f"{name[:-1]}t"), unpacked])
    if storage.bits == 4:
        return _cast(anchor, _stored(anchor, codes, ir.DataType.INT4, name), ir.DataType.INT8)
    unpacked = _fours(anchor, (codes + _OFFSET).astype(np.uint8), name, ir.DataType.INT8)
    return _operator(anchor, "Sub", [unpacked, constant(graph, np.int8(_OFFSET), "offset")])


def _indices(anchor: ir.Node, indices: NDArray[np.uint8], bits: int, name: str) -> ir.Value:
    if bits == 2:
        return _fours(anchor, indices, name, ir.DataType.INT32)
    return _cast(anchor, _stored(anchor, indices, ir.DataType.UINT4, name), ir.DataType.INT32)


def _fours(anchor: ir.Node, numbers: NDArray[np.uint8], name: str, kind: ir.DataType) -> ir.Value:
    """Store numbers 0..3, four to a byte, the first in the lowest bits."""
    graph = graph_of(anchor)
    shifts = np.arange(0, 8, 2, dtype=np.uint8)
    fours = np.pad(numbers.ravel(), (0, -numbers.size % shifts.size)).reshape(-1, shifts.size)
    packed = np.bitwise_or.reduce(fours << shifts, axis=1, keepdims=True)
    inputs = [constant(graph, packed, name), constant(graph, shifts, "shifts")]
    shifted = _operator(anchor, "BitShift", inputs, direction="RIGHT")
    lowest = _operator(anchor, "BitwiseAnd", [shifted, constant(graph, np.uint8(3), "mask")])
    flat = _cast(anchor, lowest, kind)
    if fours.size > numbers.size:  # the last byte is not full
        flat = _reshape(anchor, flat, -1)
        ends = [constant(graph, np.array([place]), f"at{place}") for place in (0, numbers.size)]
        flat = _operator(anchor, "Slice", [flat, *ends])
    return _reshape(anchor, flat, -1, *numbers.shape[1:])


def _stored(anchor: ir.Node, numbers: NDArray[Any], kind: ir.DataType, name: str) -> ir.Value:
    return constant(graph_of(anchor), numbers.astype(kind.numpy()), name)


def _operator(anchor: ir.Node, op_type: str, inputs: Sequence[ir.Value], **attributes: object) -> ir.Value:
    return insert_before(anchor, op_type, inputs, attributes=attributes, name="")  # what it reads has a name


def _cast(anchor: ir.Node, value: ir.Value, kind: ir.DataType) -> ir.Value:
    return _operator(anchor, "Cast", [value], to=kind.value)


def _reshape(anchor: ir.Node, value: ir.Value, *shape: int) -> ir.Value:
    name = "shape" + "x".join(map(str, shape[1:]))
    return _operator(anchor, "Reshape", [value, constant(graph_of(anchor), np.array(shape), name)])
