import pytest

from edgekd.quant.pool_windows import both, leaves_a_window_out, reach_into_padding


@pytest.mark.parametrize(
    ("axis", "reach", "left_out"),
    [
        # size, kernel, step, padding; windows by their first and last pixel
        ((6, 2, 3, 1), 1, False),  # -1..0, 2..3, 5..6: pixel 6 is padding
        ((8, 3, 2, 0), 0, False),  # 0..2, 2..4, 4..6, 6..8: cut off behind pixel 7
        ((9, 1, 3, 0), -2, True),  # 0, 3, 6: 7 and 8 are in none; the next one would start at 9
        ((8, 3, 4, 1), 1, False),  # -1..1, 3..5, 7..9: cut off behind pixel 8, which is padding
        ((9, 2, 2, 1), 0, True),  # -1..0, 1..2, 3..4, 5..6, 7..8: the next one would start at 9
    ],
)
def test_windows_are_counted_as_torch_counts_them(
    axis: tuple[int, int, int, int], reach: int, left_out: bool
) -> None:
    assert reach_into_padding(*axis) == reach
    assert leaves_a_window_out(*axis) is left_out


def test_one_number_stands_for_both_axes() -> None:
    assert (both(3), both([2]), both((1, 2))) == ((3, 3), (2, 2), (1, 2))
