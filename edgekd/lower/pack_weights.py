"""Weight codes of few bits are packed in the file, and unpacked by operators that run once, at load.

    4 bits     INT4 codes -> Cast(INT8)
    2, 3 bits  packed uint8 -> BitShift -> BitwiseAnd -> MatMulInteger -> Reshape -> Sub(2 or 4) -> Cast(INT8)
    a table    the same, or UINT4 indices -> Cast(INT32), and then Gather(INT8 table)

BitShift and BitwiseAnd give the part of each code that each byte holds, MatMulInteger adds up the parts.
Where a table is full and 0 not in it, BitwiseAnd(mask) behind it makes the codes of dead channels 0.

What comes out are the INT8 codes that were there before, so the same integer kernel runs. ONNX Runtime folds
all of it, but casts 4 bits only from 1.23 on; INT4 weights that are not cast would run in float.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from edgekd.lower.graph import array, constant, graph_of, insert_before, name_of, weights_of
from edgekd.lower.lowering_pass import LoweringPass
from edgekd.lower.storage import FILE_BITS, Storage, smallest_storage


@dataclass(frozen=True)
class _Layout:
    """How a few codes share a few bytes: ``code = sum over bytes of worth * (byte >> shift & mask)``.

    Attributes:
        shifts: For each code (row) and byte (column).
        masks: The same; 0 where the byte holds nothing of the code.
        worth: For each byte, shape (bytes, 1).
    """

    shifts: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    worth: NDArray[np.uint8]

    def pack(self, numbers: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return bytes, shape (groups, 1, bytes of a group); the last group is filled up with 0."""
        missing = -numbers.size % len(self.shifts)
        groups = np.pad(numbers.ravel(), (0, missing)).reshape(-1, len(self.shifts), 1)
        parts = groups // self.worth.T & self.masks
        return np.bitwise_or.reduce(parts << self.shifts, axis=1, keepdims=True)


def _layout(shifts: list[list[int]], masks: list[list[int]], worth: list[list[int]]) -> _Layout:
    return _Layout(*(np.array(table, np.uint8) for table in (shifts, masks, worth)))


_LAYOUTS = {
    2: _layout([[0], [2], [4], [6]], masks=[[3]], worth=[[1]]),
    3: _layout(
        [[0, 0, 0], [1, 2, 0], [2, 4, 0], [3, 6, 0], [4, 0, 0], [5, 0, 2], [6, 0, 4], [7, 0, 6]],
        masks=[[1, 3, 0]] * 4 + [[1, 0, 3]] * 4,
        worth=[[1], [2], [2]],
    ),
}
"""Of 3 bits the upper two stay together: they depend on each other, so that compressors find more."""


class PackWeightsPass(LoweringPass):
    """``DQ(codes int8)`` -> ``DQ(unpack(fewer bytes))``, once for every reader of the codes.

    Args:
        widths: Bits that a code may have in the file; as in `smallest_storage`, as is
        tables: whether codes may be indices into a table.
    """

    def __init__(self, widths: Sequence[int] = FILE_BITS, *, tables: bool = True) -> None:
        self.widths, self.tables = widths, tables

    def visit(self, node: ir.Node) -> bool:
        """Pack the codes of one layer."""
        dequantize = weights_of(node)
        value = dequantize.inputs[0] if dequantize is not None else None
        if dequantize is None or value is None or not value.is_initializer():
            return False
        codes = array(value)
        assert codes is not None
        storage = smallest_storage(codes, self.widths, tables=self.tables)
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
    graph, bits, table = graph_of(anchor), storage.bits, storage.table
    if table is None and bits == 4:
        return _cast(anchor, _stored(anchor, codes, ir.DataType.INT4, name), ir.DataType.INT8)
    if table is None:
        offset = 1 << (bits - 1)  # BitShift knows no signs
        numbers = _numbers(anchor, (codes + offset).astype(np.uint8), bits, name)
        signed = _operator(anchor, "Sub", [numbers, constant(graph, np.int32(offset), f"offset{bits}")])
        return _cast(anchor, signed, ir.DataType.INT8)
    places = np.searchsorted(table[:-1], codes).astype(np.uint8)
    indices = _numbers(anchor, places, bits, name)
    values = _operator(anchor, "Gather", [constant(graph, table, f"{name[:-1]}t"), indices])
    if storage.mask is None:
        return values
    return _operator(anchor, "BitwiseAnd", [values, constant(graph, storage.mask, f"{name}mask")])


def _numbers(anchor: ir.Node, numbers: NDArray[np.uint8], bits: int, name: str) -> ir.Value:
    """Store numbers of 2, 3 or 4 bits and return what they are at run time, as INT32."""
    if bits == 4:
        return _cast(anchor, _stored(anchor, numbers, ir.DataType.UINT4, name), ir.DataType.INT32)
    graph, layout = graph_of(anchor), _LAYOUTS[bits]
    packed = layout.pack(numbers)
    shifts, masks, worth = (
        constant(graph, data, f"{what}{bits}")
        for what, data in (("shifts", layout.shifts), ("masks", layout.masks), ("worth", layout.worth))
    )
    stored = constant(graph, packed, name)
    parts = _operator(anchor, "BitShift", [stored, shifts], direction="RIGHT")
    parts = _operator(anchor, "BitwiseAnd", [parts, masks])
    whole = _operator(anchor, "MatMulInteger", [parts, worth])
    if len(packed) * len(layout.shifts) > numbers.size:  # the last group is not full
        whole = _reshape(anchor, whole, -1)
        ends = [constant(graph, np.array([end]), f"at{end}") for end in (0, numbers.size)]
        whole = _operator(anchor, "Slice", [whole, *ends])
    return _reshape(anchor, whole, -1, *numbers.shape[1:])


def _stored(anchor: ir.Node, numbers: NDArray[Any], kind: ir.DataType, name: str) -> ir.Value:
    return constant(graph_of(anchor), numbers.astype(kind.numpy()), name)


def _operator(anchor: ir.Node, op_type: str, inputs: Sequence[ir.Value], **attributes: object) -> ir.Value:
    return insert_before(anchor, op_type, inputs, attributes=attributes, name="")  # what it reads has a name


def _cast(anchor: ir.Node, value: ir.Value, kind: ir.DataType) -> ir.Value:
    return _operator(anchor, "Cast", [value], to=kind.value)


def _reshape(anchor: ir.Node, value: ir.Value, *shape: int) -> ir.Value:
    name = "shape" + "x".join(map(str, shape[1:]))
    return _operator(anchor, "Reshape", [value, constant(graph_of(anchor), np.array(shape), name)])
