import dataclasses

import pytest

from edgekd.core.grid import IntGrid, weight_grid


@pytest.mark.parametrize(("bits", "qmax"), [(2, 1), (3, 3), (4, 7), (8, 127)])
def test_weight_grid_is_narrow_and_symmetric(bits, qmax):
    assert weight_grid(bits) == IntGrid(-qmax, qmax)


@pytest.mark.parametrize(
    ("grid", "bits"),
    [
        (IntGrid(0, 255), 8),
        (IntGrid(-128, 127), 8),
        (IntGrid(0, 127), 7),
        (IntGrid(0, 15), 4),
        (IntGrid(-7, 7), 4),
        (IntGrid(-1, 1), 2),
    ],
)
def test_bits_are_what_the_number_of_codes_needs(grid, bits):
    assert grid.bits == bits


@pytest.mark.parametrize("bits", range(2, 9))
def test_weight_grid_needs_the_bits_it_was_asked_for(bits):
    assert weight_grid(bits).bits == bits


def test_non_negative_grids_start_at_zero():
    assert IntGrid(0, 255).non_negative
    assert not IntGrid(-128, 127).non_negative


def test_grid_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        weight_grid(8).qmin = 0
