import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgekd.lower.storage import code_bits, smallest_storage


@pytest.mark.parametrize(
    ("values", "bits", "table"),
    [
        ([-1, 0, 1], 2, False),
        ([-2, 1], 2, False),
        ([-1, 0, 2], 2, True),
        ([-7, 0, 3, 4, 7], 4, False),
        ([-7, 0, 3, 7], 2, True),
        ([-127, -60, -3, 0, 5], 4, True),
        ([-127, 0, 127], 2, True),
        (list(range(-8, 9)), 8, False),
    ],
)
def test_smallest_storage_follows_from_the_codes(values, bits, table):
    found = smallest_storage(np.int8(values * 20))
    assert (found.bits, found.table is not None) == (bits, table)
    assert found.table is None or found.table.tolist() == values


@given(arrays(np.int8, st.integers(1, 200), elements=st.integers(-127, 127)))
def test_smallest_storage_is_never_larger_than_the_codes(codes):
    found = smallest_storage(codes)
    assert found.size_bytes(codes.size) <= codes.nbytes
    assert found.table is not None or -(2 ** (found.bits - 1)) <= codes.min()
    assert -(2 ** (code_bits(codes) - 1)) <= codes.min() <= codes.max() < 2 ** (code_bits(codes) - 1)
