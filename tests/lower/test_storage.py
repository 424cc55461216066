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
        ([-3, -2, 0, 1, 3], 3, False),
        ([-7, 0, 3, 4, 7], 3, True),
        ([-7, -5, -3, -2, -1, 0, 1, 3, 5], 4, False),
        ([-7, 0, 3, 7], 2, True),
        ([-127, -60, -3, 0, 5], 3, True),
        ([*range(-127, 13, 14), 127], 4, True),
        ([-127, 0, 127], 2, True),
        (list(range(-8, 9)), 8, False),
    ],
)
def test_smallest_storage_follows_from_the_codes(values, bits, table):
    found = smallest_storage(np.int8(values * 20))
    assert (found.bits, found.table is not None) == (bits, table)
    assert found.table is None or found.table.tolist() == values


@pytest.mark.parametrize(("points", "bits"), [(4, 2), (8, 3), (16, 4)])
def test_a_dead_channel_does_not_cost_a_full_code_book_its_form(points, bits):
    book = np.linspace(-127, 126, points).astype(np.int8)
    codes = np.resize(book, (8, 3, 3, 3))
    codes[2] = 0
    found = smallest_storage(codes)
    assert (found.bits, found.table.tolist()) == (bits, book.tolist())
    assert found.mask.ravel().tolist() == [-1, -1, 0, -1, -1, -1, -1, -1]
    assert found.size_bytes(codes.size) == 27 * bits + points + 8
    half_empty = smallest_storage(np.where(codes == book[1], book[0], codes))
    assert half_empty.mask is None and 0 in half_empty.table


@given(arrays(np.int8, st.integers(1, 200), elements=st.integers(-127, 127)))
def test_smallest_storage_is_never_larger_than_the_codes(codes):
    found = smallest_storage(codes)
    assert found.size_bytes(codes.size) <= codes.nbytes
    assert found.table is not None or -(2 ** (found.bits - 1)) <= codes.min()
    assert -(2 ** (code_bits(codes) - 1)) <= codes.min() <= codes.max() < 2 ** (code_bits(codes) - 1)
