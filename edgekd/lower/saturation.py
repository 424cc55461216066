"""Where x86 without VNNI clips: it adds two products of uint8 and int8 in 16 bits before it goes on in 32.

The two are neighbours in the order in which a kernel sums: the inputs of a linear layer; for a convolution
the positions of its window, and at each the channels of its group. Numbers 0 and 1 are added first, then 2
and 3, never 1 and 2. Proved under emulation by ``tests/runtimes/test_saturation.py``.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST_PAIR = 128
"""Sum of two weight codes of one sign that no two uint8 codes can bring beyond: 255 * 128 < 2**15."""
LARGEST_SAFE_CODE = LARGEST_PAIR // 2
"""Weight code up to which nothing saturates, whatever it meets."""


def summed_rows(w: NDArray[Any]) -> NDArray[Any]:
    """Return the weights (out, in / group, ...) of a convolution in the order of their sum, (out, summed)."""
    return np.moveaxis(w, 1, -1).reshape(len(w), -1)


def added_pairs(rows: NDArray[np.int8]) -> NDArray[np.int16]:
    """Return the codes that meet in 16 bits, (..., pairs, 2); the last one of an odd number meets 0.

    Example:
        >>> added_pairs(np.int8([[1, 2, 3]])).tolist()
        [[[1, 2], [3, 0]]]
    """
    odd = rows.shape[-1] % 2
    padded = np.pad(rows.astype(np.int16), [(0, 0)] * (rows.ndim - 1) + [(0, odd)])
    return padded.reshape(*rows.shape[:-1], -1, 2)


def may_saturate(rows: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Say for each pair (..., pairs) whether some uint8 codes bring its sum beyond 16 bits.

    Products of opposite signs cancel, so that it takes two of one sign.

    Example:
        >>> may_saturate(np.int8([[100, 100, 127, -127, 0, 100, 100, 0]])).tolist()
        [[True, False, False, False]]
    """
    return np.asarray(np.abs(added_pairs(rows).sum(-1)) > LARGEST_PAIR)


def is_depthwise(w: NDArray[Any], group: int) -> bool:
    """Whether a convolution has one channel for each output: its kernels multiply in 32 bits."""
    return w.shape[1] == 1 and group == len(w)
