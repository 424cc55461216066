"""How many channels of each group remain: arithmetic on shapes, no weights and no network."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import lcm


@dataclass(frozen=True)
class LayerCost:
    """Multiply-accumulates of a layer and the channels that they are proportional to.

    Attributes:
        macs: For one image.
        outputs: Channels that it makes.
        inputs: Channels that it reads.
    """

    macs: int
    outputs: int
    inputs: int


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are removed together, all over a network.

    Attributes:
        root: The first layer that makes them.
        channels: How many it makes.
        block: Length of the equal parts of them that each lose the same channels: groups of a convolution or
            a normalization, parts that go different ways.
        made: Layers, and how many of their outputs go when all channels go.
        read: Layers, and how many of their inputs go when all channels go.
    """

    root: str
    channels: int
    block: int
    made: tuple[tuple[str, int], ...] = ()
    read: tuple[tuple[str, int], ...] = ()

    def channels_at(self, places: Iterable[int]) -> list[int]:
        """Return the channels at the given places of each block."""
        places = list(places)
        return [start + place for start in range(0, self.channels, self.block) for place in places]

    def widths(self, round_to: int) -> list[int]:
        """Return the numbers of channels that may remain, growing.

        Example:
            >>> ChannelGroup("conv", channels=20, block=20).widths(8)
            [8, 16, 20]
        """
        step = lcm(round_to, self.channels // self.block)
        return [*range(step, self.channels, step), self.channels]

    def width(self, fraction: float, round_to: int) -> int:
        """Return the number of channels that may remain nearest to a fraction; the greater of two."""
        wanted = fraction * self.channels
        return min(reversed(self.widths(round_to)), key=lambda width: abs(width - wanted))


Widths = Sequence[tuple[ChannelGroup, int]]
"""Groups, and how many channels of each remain."""


def macs_left(costs: Mapping[str, LayerCost], widths: Widths) -> int:
    """Return the multiply-accumulates of a network whose groups have these widths."""
    made: Counter[str] = Counter()
    read: Counter[str] = Counter()
    for group, width in widths:
        gone = group.channels - width
        made.update({name: count * gone // group.channels for name, count in group.made})
        read.update({name: count * gone // group.channels for name, count in group.read})
    return sum(
        cost.macs * (cost.outputs - made[name]) * (cost.inputs - read[name]) // (cost.outputs * cost.inputs)
        for name, cost in costs.items()
    )


def widths_by_part(groups: Sequence[ChannelGroup], fractions: Sequence[float], round_to: int) -> Widths:
    """Keep a fraction of the channels in each of as many equal parts of the network, in its order.

    Example:
        >>> groups = [ChannelGroup(name, channels=32, block=32) for name in "abcd"]
        >>> [width for _, width in widths_by_part(groups, (1.0, 0.5), round_to=8)]
        [32, 32, 16, 16]
    """
    parts = [fractions[i * len(fractions) // len(groups)] for i in range(len(groups))]
    return [(group, group.width(part, round_to)) for group, part in zip(groups, parts, strict=True)]


def widths_within(
    groups: Sequence[ChannelGroup], costs: Mapping[str, LayerCost], limit: float, round_to: int
) -> Widths | None:
    """Keep the same fraction of all channels, the greatest that costs at most ``limit``; None if none does.

    Then single groups grow, one step after the other, as long as that is within the limit: rounding leaves a
    gap, and the widths of small networks are coarse.
    """
    low, high = 0.0, 1.0
    best: Widths = widths_by_part(groups, (low,), round_to)
    if macs_left(costs, best) > limit:
        return None
    for _ in range(40):
        middle = (low + high) / 2
        widths = widths_by_part(groups, (middle,), round_to)
        if macs_left(costs, widths) <= limit:
            low, best = middle, widths
        else:
            high = middle
    while (grown := _grown(best, costs, limit, round_to)) != best:
        best = grown
    return best


def _grown(widths: Widths, costs: Mapping[str, LayerCost], limit: float, round_to: int) -> Widths:
    for index, (group, width) in enumerate(widths):
        wider = next((wider for wider in group.widths(round_to) if wider > width), width)
        tried = [*widths[:index], (group, wider), *widths[index + 1 :]]
        if macs_left(costs, tried) <= limit:
            widths = tried
    return widths
