from typing import get_args

import pytest

from edgekd.core.grid import IntGrid
from edgekd.core.profile import PROFILES, ProfileName
from edgekd.lower.quantize_activations import stored_zero_point


def test_every_name_has_its_profile():
    assert tuple(PROFILES) == get_args(ProfileName)
    assert [profile.name for profile in PROFILES.values()] == list(PROFILES)


@pytest.mark.parametrize(
    ("name", "bits", "non_negative", "grid"),
    [
        ("ort", 8, True, IntGrid(0, 255)),
        ("ort", 8, False, IntGrid(-128, 127)),
        ("ort", 4, True, IntGrid(0, 15)),
        ("tensorrt", 8, True, IntGrid(0, 127)),
        ("tensorrt", 8, False, IntGrid(-128, 127)),
        ("tensorrt", 4, True, IntGrid(0, 15)),
        ("portable", 8, True, IntGrid(0, 127)),
        ("portable", 8, False, IntGrid(-128, 127)),
        ("portable", 2, False, IntGrid(-2, 1)),
    ],
)
def test_activation_grid_of_each_profile(name, bits, non_negative, grid):
    assert PROFILES[name].activation_grid(bits=bits, non_negative=non_negative) == grid


@pytest.mark.parametrize("name", ["ort", "portable"])
@pytest.mark.parametrize("bits", range(2, 9))
def test_codes_fit_uint8_with_the_zero_point_of_their_grid(name, bits):
    for non_negative in (True, False):
        grid = PROFILES[name].activation_grid(bits=bits, non_negative=non_negative)
        zero_point = stored_zero_point(grid.qmin)
        assert 0 <= grid.qmin + zero_point < grid.qmax + zero_point <= 255


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("non_negative", [True, False])
def test_portable_grids_are_grids_of_both_runtimes(bits, non_negative):
    """Code 128 of uint8 is code 0 of int8, so each portable code has to fit int8 around zero point 0."""
    grid = PROFILES["portable"].activation_grid(bits=bits, non_negative=non_negative)
    assert grid == PROFILES["tensorrt"].activation_grid(bits=bits, non_negative=non_negative)
    assert -128 <= grid.qmin < grid.qmax <= 127
