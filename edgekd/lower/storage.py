"""How a file holds the weight codes of a layer: in the fewest bytes, chosen from the codes alone."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Storage:
    """One way to hold the codes of one layer.

    Attributes:
        bits: Per code in the file: 2, 4 or 8.
        table: The values that occur, ascending, if the file holds indices into them; None if it holds codes.
    """

    bits: int
    table: NDArray[np.int8] | None = None

    def size_bytes(self, count: int) -> int:
        """Return the bytes of ``count`` codes, with the table.

        Example:
            >>> Storage(4).size_bytes(9)
            5
        """
        return math.ceil(count * self.bits / 8) + (0 if self.table is None else self.table.nbytes)


def smallest_storage(codes: NDArray[np.int8]) -> Storage:
    """Return the form that holds ``codes`` in the fewest bytes; of equal ones, the one with least to unpack.

    Example:
        >>> smallest_storage(np.int8([-1, 0, 1, 1])), smallest_storage(np.int8([-7, 7]))
        (Storage(bits=2, table=None), Storage(bits=4, table=None))
        >>> smallest_storage(np.int8([-99, 3, 50, 127] * 8))
        Storage(bits=2, table=array([-99,   3,  50, 127], dtype=int8))
    """
    values = np.unique(codes)
    needed = code_bits(values)
    forms = [Storage(bits) for bits in (8, 4, 2) if bits >= needed]
    forms += [Storage(bits, values) for bits in (2, 4) if values.size <= 2**bits]
    return min(forms, key=lambda form: form.size_bytes(codes.size))


def code_bits(codes: NDArray[np.int8]) -> int:
    """Return the bits of the narrowest two's complement integer that holds every code.

    Example:
        >>> code_bits(np.int8([-1, 0, 1])), code_bits(np.int8([-3, 3])), code_bits(np.int8([-127, 127]))
        (2, 3, 8)
    """
    ends = int(codes.min(initial=0)), int(codes.max(initial=0))
    return 1 + max((end if end >= 0 else ~end).bit_length() for end in ends)
