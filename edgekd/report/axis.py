"""An axis of a plot: where a value stands, and which values are named beside it."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

LOG_STEPS = (1, 2, 5)
FINEST = 1e-100
"""A logarithmic axis ends above it, and below its reciprocal: floats come to an end soon after."""


@dataclass(frozen=True)
class Tick:
    """A named place on an axis, px from the left or top edge of the picture."""

    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """A range of values and the range of px that it fills.

    Attributes:
        low: Value at ``start``.
        high: Value at ``end``.
        start: px; below ``end`` on a horizontal axis, above it on a vertical one.
        end: px.
        log: Whether equal ratios, not equal differences, are equally long.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """Return the px of a value."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        return round(self.start + (self._scaled(value) - low) / (high - low) * (self.end - self.start), 1)

    def ticks(self, text: Callable[[float], str], *, most: int = 5) -> tuple[Tick, ...]:
        """Return up to about ``most`` round values with their names."""
        values = _log_ticks(self.low, self.high, most) if self.log else []
        if len(values) < 2:
            values = _linear_ticks(self.low, self.high, most)
        return tuple(Tick(self.at(value), text(value)) for value in values)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value


def axis_of(
    values: Iterable[float],
    *,
    start: float,
    end: float,
    log: bool = False,
    limits: tuple[float, float] | None = None,
) -> Axis:
    """Return an axis that holds all values with some room at both ends.

    Args:
        values: What is to be shown.
        start: px of the lower end.
        end: px of the upper end.
        log: Ask for a logarithmic axis; one that holds 0 or less, or what no clock shows, is linear.
        limits: Values that the axis does not go beyond, such as 0 and 1 for fractions.
    """
    known = sorted(values) or [0.0, 1.0]
    low, high = known[0], known[-1]
    if log and low > FINEST and high < 1 / FINEST:
        room = max((high / low) ** 0.08, 1.04)
        return Axis(low / room, high * room, start, end, log=True)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    least, most = limits or (-math.inf, math.inf)
    return Axis(max(least, low - room), min(most, high + room), start, end)


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    """Return the multiples of 1, 2, 2.5 or 5 times a power of ten within a range.

    Example:
        >>> _linear_ticks(0.93, 1.0, 4)
        [0.94, 0.96, 0.98, 1.0]
    """
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(power * part for part in (1, 2, 2.5, 5, 10, 20) if power * part * most >= high - low)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    """Return powers of ten within a range, with their double and fivefold if there is room.

    Example:
        >>> _log_ticks(0.3, 12, 5), _log_ticks(0.3, 12, 4)
        ([0.5, 1.0, 2.0, 5.0, 10.0], [1.0, 10.0])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [step * 10.0**power for power in powers for step in LOG_STEPS if low <= step * 10.0**power <= high]
    coarse = [10.0**power for power in powers if low <= 10.0**power <= high]
    return fine if len(fine) <= most else coarse[:: math.ceil(len(coarse) / most)]
