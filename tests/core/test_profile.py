from typing import get_args

import numpy as np
import pytest

from edgekd.core.grid import IntGrid
from edgekd.core.profile import PROFILES, ProfileName


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


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
@pytest.mark.parametrize("bits", range(2, 9))
def test_stored_codes_fit_the_storage_type(profile, bits):
    limits = np.iinfo(profile.storage)
    for non_negative in (True, False):
        grid = profile.activation_grid(bits=bits, non_negative=non_negative)
        zero_point = 0 if non_negative else profile.signed_zero_point
        assert limits.min <= grid.qmin + zero_point < grid.qmax + zero_point <= limits.max


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("non_negative", [True, False])
def test_portable_grids_are_grids_of_both_runtimes(bits, non_negative):
    """Code 128 of uint8 is code 0 of int8, so each portable code has to fit int8 around zero point 0."""
    grid = PROFILES["portable"].activation_grid(bits=bits, non_negative=non_negative)
    assert grid == PROFILES["tensorrt"].activation_grid(bits=bits, non_negative=non_negative)
    assert -128 <= grid.qmin < grid.qmax <= 127
