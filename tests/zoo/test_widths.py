import pytest

from edgekd.zoo.widths import ChannelGroup, LayerCost, macs_left, widths_by_part, widths_within

FIRST = ChannelGroup("a", channels=16, block=16, made=(("a", 16),), read=(("b", 16),))
SECOND = ChannelGroup("b", channels=32, block=32, made=(("b", 32),), read=(("c", 128),))
COSTS = {"a": LayerCost(16 * 3, 16, 3), "b": LayerCost(32 * 16, 32, 16), "c": LayerCost(128 * 10, 10, 128)}


def test_macs_left_counts_each_layer_by_what_it_makes_and_reads():
    assert macs_left(COSTS, ()) == 48 + 512 + 1280
    assert macs_left(COSTS, ((FIRST, 4), (SECOND, 8))) == 4 * 3 + 8 * 4 + 32 * 10


def test_blocks_lose_the_same_channels():
    group = ChannelGroup("grouped", channels=24, block=6)
    assert group.widths(round_to=1) == [4, 8, 12, 16, 20, 24]
    assert group.widths(round_to=8) == [8, 16, 24]
    assert group.channels_at([0, 4]) == [0, 4, 6, 10, 12, 16, 18, 22]


@pytest.mark.parametrize(("fraction", "width"), [(0.0, 8), (0.3, 8), (0.374, 8), (0.375, 16), (1.0, 32)])
def test_a_width_is_the_nearest_multiple(fraction, width):
    assert ChannelGroup("a", channels=32, block=32).width(fraction, round_to=8) == width


def test_too_few_channels_to_round_all_stay():
    assert ChannelGroup("a", channels=8, block=8).widths(round_to=8) == [8]


@pytest.mark.parametrize("limit", [0.2, 0.4, 0.5, 0.8, 1.0])
def test_widths_are_as_near_to_the_limit_as_one_step_of_any_group(limit):
    macs = limit * macs_left(COSTS, ())
    widths = widths_within((FIRST, SECOND), COSTS, macs, round_to=1)
    assert macs_left(COSTS, widths) <= macs
    for index, (group, width) in enumerate(widths):
        if width < group.channels:
            wider = [*widths[:index], (group, width + 1), *widths[index + 1 :]]
            assert macs_left(COSTS, wider) > macs


def test_a_limit_below_the_fewest_channels_has_no_widths():
    fewest = macs_left(COSTS, widths_by_part((FIRST, SECOND), (0.0,), round_to=8))
    assert widths_within((FIRST, SECOND), COSTS, fewest, round_to=8) == [(FIRST, 8), (SECOND, 8)]
    assert widths_within((FIRST, SECOND), COSTS, fewest - 1, round_to=8) is None
