"""A plot: axes, dots, lines and names with their places, drawn as inline SVG by ``plots.html.jinja``.

It needs no script: colours follow the page, light and dark, and the tooltip of a mark is the browser's own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgekd.report.axis import Tick

CHARACTER_WIDTH, LINE_HEIGHT = 6.4, 14.0
"""Of a name in a plot, px, about."""


@dataclass(frozen=True)
class Frame:
    """The rectangle between the axes, px."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Dot:
    """One measured value.

    Attributes:
        x: px.
        y: px.
        radius: px.
        style: Its CSS class: whose value it is.
        tooltip: What a reader who points at it sees.
        whisker: Ends of the interval of ``y``, px; empty without one.
    """

    x: float
    y: float
    radius: float
    style: str
    tooltip: str
    whisker: tuple[float, ...] = ()


@dataclass(frozen=True)
class Line:
    """A line through points (px, px)."""

    points: tuple[tuple[float, float], ...]
    style: str


@dataclass(frozen=True)
class Box:
    """A rectangle; px."""

    left: float
    top: float
    width: float
    height: float
    style: str


@dataclass(frozen=True)
class Name:
    """A word at a place; ``anchor`` is SVG's text-anchor."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    style: str = "name"


@dataclass(frozen=True)
class Plot:
    """A picture.

    Attributes:
        label: What it shows, in words, for readers who do not see it.
        width: px.
        height: px.
        frame: Between the axes.
        x_title: What the horizontal axis counts.
        y_title: What the vertical axis counts.
        x_ticks: Names on the horizontal axis.
        y_ticks: Names on the vertical axis.
        boxes: Drawn first.
        lines: Drawn next.
        dots: Drawn last.
        names: Over everything.
    """

    label: str
    width: float
    height: float
    frame: Frame
    x_title: str
    y_title: str = ""
    x_ticks: tuple[Tick, ...] = ()
    y_ticks: tuple[Tick, ...] = ()
    boxes: tuple[Box, ...] = ()
    lines: tuple[Line, ...] = ()
    dots: tuple[Dot, ...] = ()
    names: tuple[Name, ...] = ()


def place_names(wanted: Sequence[tuple[Dot, str]], *, dots: Iterable[Dot], frame: Frame) -> tuple[Name, ...]:
    """Put a name beside each dot where it covers no dot and no other name; leave it out where it cannot.

    Args:
        wanted: Dots and their names, the most important first.
        dots: All dots of the plot.
        frame: What the names must not leave.
    """
    taken = [_around(dot) for dot in dots]
    names = []
    for dot, text in wanted:
        for name in _beside(dot, text):
            area = _area(name)
            if _within(area, frame) and not any(_overlap(area, other) for other in taken):
                names.append(name)
                taken.append(area)
                break
    return tuple(names)


def _beside(dot: Dot, text: str) -> Iterable[Name]:
    gap = dot.radius + 5
    yield Name(dot.x + gap, dot.y + 4, text)
    yield Name(dot.x - gap, dot.y + 4, text, "end")
    for anchor in ("middle", "start", "end"):
        yield Name(dot.x, dot.y - gap, text, anchor)
        yield Name(dot.x, dot.y + gap + 9, text, anchor)


def _around(dot: Dot) -> Frame:
    return Frame(dot.x - dot.radius, dot.y - dot.radius, dot.x + dot.radius, dot.y + dot.radius)


def _area(name: Name) -> Frame:
    width = CHARACTER_WIDTH * len(name.text)
    left = name.x - {"start": 0.0, "middle": width / 2, "end": width}[name.anchor]
    return Frame(left, name.y - LINE_HEIGHT + 3, left + width, name.y + 3)


def _within(area: Frame, frame: Frame) -> bool:
    return (
        area.left >= frame.left
        and area.right <= frame.right
        and area.top >= frame.top
        and area.bottom <= frame.bottom
    )


def _overlap(a: Frame, b: Frame) -> bool:
    return a.left < b.right and b.left < a.right and a.top < b.bottom and b.top < a.bottom
