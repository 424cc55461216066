"""How a file holds the weight codes of a layer: in the fewest bytes, chosen from the codes alone.

The operators that unpack 2 or 3 bits take about 200 bytes a layer, which do not count here: a layer of fewer
than some 300 weights is smaller as INT8.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FILE_BITS = (8, 4, 3, 2)
"""Widths that codes have in a file, from the one with least to unpack on."""

CAST_BITS = (8, 4)
"""Those that one Cast unpacks."""


@dataclass(frozen=True)
class Storage:
    """One way to hold the codes of one layer.

    Attributes:
        bits: Per code in the file, of ``FILE_BITS``.
        table: The values that occur, ascending, if the file holds indices into them; None if it holds codes.
        mask: Behind a table without 0: 0 for the dead channels, whose codes are all 0, and -1 for the others,
            shape (channels, 1, ...). None without dead channels, or if the table holds 0.
    """

    bits: int
    table: NDArray[np.int8] | None = None
    mask: NDArray[np.int8] | None = None

    def size_bytes(self, count: int) -> int:
        """Return the bytes of ``count`` codes, with table and mask.

        Example:
            >>> Storage(4).size_bytes(9)
            5
        """
        beside = sum(item.nbytes for item in (self.table, self.mask) if item is not None)
        return math.ceil(count * self.bits / 8) + beside


def smallest_storage(
    codes: NDArray[np.int8], widths: Sequence[int] = FILE_BITS, *, tables: bool = True
) -> Storage:
    """Return the form that holds ``codes`` in the fewest bytes; of equal ones, the one with least to unpack.

    Args:
        codes: Output channels first.
        widths: Of ``FILE_BITS``, 8 first.
        tables: Whether codes may be indices into a table.

    Example:
        >>> [smallest_storage(np.arange(-end, end + 1, dtype=np.int8)).bits for end in (1, 3, 7, 99)]
        [2, 3, 4, 8]
        >>> smallest_storage(np.int8([-99, 3, 50, 127] * 8))
        Storage(bits=2, table=array([-99,   3,  50, 127], dtype=int8), mask=None)
    """
    needed = code_bits(codes)
    forms = [Storage(bits) for bits in widths if bits >= needed]
    if tables:
        rows = codes.reshape(len(codes), -1)
        live = rows.any(axis=1)
        mask = np.where(live, -1, 0).astype(np.int8).reshape([-1] + [1] * (codes.ndim - 1))
        for values, zeros in ((np.unique(codes), None), (np.unique(rows[live]), mask)):
            forms += [Storage(bits, values, zeros) for bits in widths[1:] if values.size <= 2**bits]
    return min(forms, key=lambda form: form.size_bytes(codes.size))


def code_bits(codes: NDArray[np.int8]) -> int:
    """Return the bits of the narrowest two's complement integer that holds every code.

    Example:
        >>> code_bits(np.int8([-1, 0, 1])), code_bits(np.int8([-3, 3])), code_bits(np.int8([-127, 127]))
        (2, 3, 8)
    """
    ends = int(codes.min(initial=0)), int(codes.max(initial=0))
    return 1 + max((end if end >= 0 else ~end).bit_length() for end in ends)


def needed_bits(codes: NDArray[np.int8]) -> int:
    """Return the bits of a code, or of an index into a table of up to 16 values, whichever are fewer.

    Channels that are dead, all 0, need no place in the table.

    Example:
        >>> needed_bits(np.int8([[-99, 3], [50, 127], [0, 0]])), needed_bits(np.int8([range(100)]))
        (2, 8)
        >>> needed_bits(np.int8([[-99, 99]]))  # no file has fewer
        2
    """
    rows = codes.reshape(len(codes), -1)
    index_bits = (np.unique(rows[rows.any(axis=1)]).size - 1).bit_length()
    found = min(code_bits(codes), index_bits) if index_bits <= FILE_BITS[1] else code_bits(codes)
    return max(found, FILE_BITS[-1])
