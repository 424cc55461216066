"""Accuracy against what it costs, of all models of one run or of many: which of them nothing else beats."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from edgekd.report.axis import Axis, axis_of
from edgekd.report.plot import Dot, Frame, Line, Plot, place_names
from edgekd.report.rows import model_rows
from edgekd.report.runs import Run, measured_on, target_label
from edgekd.report.words import FRACTIONS, metric_interval, metric_value, milliseconds, scale_value, size
from edgekd.tasks.metric import Metric

HEIGHT = 320
MOST_NAMED = 8
"""Other runs up to which all of them are named; of more, only those that nothing beats are."""

FAR = 2
"""Times the dearest point, from where a limit is not drawn: points would lie on one heap."""

PLAIN_RADIUS, STRONG_RADIUS = 4.0, 6.5


@dataclass(frozen=True)
class Point:
    """One model.

    Attributes:
        run: Name of its run.
        label: What it is, in a word or two.
        style: ``teacher_float``, ``student_float``, ``ptq`` or ``engine``.
        metric: On the test split.
        size_bytes: Size of its file; None if it is not known.
        p50_ms: Median latency; None if it was not measured.
        machine: What ``p50_ms`` belongs to.
        strong: Whether it is of the run that the page is about.
        name: What is written beside it; empty for most.
    """

    run: str
    label: str
    style: str
    metric: Metric
    size_bytes: int | None
    p50_ms: float | None
    machine: str
    strong: bool
    name: str


def points(run: Run, *, strong: bool) -> tuple[Point, ...]:
    """Return all models of a run, those that targets share once."""
    found = {}
    for target in run.report.targets:
        machine = measured_on(run.report, target)
        for row in model_rows(run.report, target):
            if row.key == "fake_quant" or row.metric is None:
                continue
            engine = row.key == "engine"
            label = row.label
            if engine:
                label = ", ".join(filter(None, (label, target_label(run.report, target))))
            found[label, None if engine else machine] = Point(
                run=run.name,
                label=label,
                style=row.key,
                metric=row.metric,
                size_bytes=row.size_bytes,
                p50_ms=row.latency.p50 if row.latency else None,
                machine=machine,
                strong=strong,
                name=label if strong else run.name if engine else "",
            )
    return tuple(found.values())


@dataclass(frozen=True)
class Cost:
    """What accuracy is paid with.

    Attributes:
        title: Of the axis.
        of: Returns it of a point, above 0; None if it is not known.
        text: Returns it as people read it.
        tick: The same for a round value on the axis.
    """

    title: str
    of: Callable[[Point], float | None]
    text: Callable[[float], str]
    tick: Callable[[float], str]


LATENCY = Cost("p50, ms", lambda point: point.p50_ms, lambda ms: f"{milliseconds(ms)} ms", "{:g}".format)
SIZE = Cost(
    "size of the file",
    lambda point: point.size_bytes,
    size,
    lambda value: size(value).replace(".00 ", " ").replace(".0 ", " "),
)


def latency_frontier(
    shown: Iterable[Point], machine: str, *, width: float, most_ms: float | None = None
) -> Plot | None:
    """Return metric over p50 of what was timed on one machine, with a line at ``most_ms``.

    None if nothing was timed there.
    """
    return _frontier([point for point in shown if point.machine == machine], LATENCY, width, most=most_ms)


def size_frontier(shown: Iterable[Point], *, width: float) -> Plot | None:
    """Return metric over file size of all models, each once wherever it was timed; None if there are none."""
    return _frontier(list({(point.run, point.label): point for point in shown}.values()), SIZE, width)


def unbeaten(shown: Mapping[Point, float]) -> list[Point]:
    """Return the points that no other beats in both metric and cost, by rising cost."""
    best: list[Point] = []
    for point, _ in sorted(shown.items(), key=lambda item: (item[1], -_goodness(item[0]))):
        if not best or _goodness(point) > _goodness(best[-1]):
            best.append(point)
    return best


def _goodness(point: Point) -> float:
    return point.metric.value if point.metric.higher_is_better else -point.metric.value


def _frontier(candidates: list[Point], cost: Cost, width: float, *, most: float | None = None) -> Plot | None:
    shown = {point: value for point in candidates if (value := cost.of(point))}
    if not shown:
        return None
    metric = next(iter(shown)).metric.name
    frame = Frame(50, 30, width - 12, HEIGHT - 44)
    limits = [most] if most is not None and most < FAR * max(shown.values()) else []
    x = axis_of([*shown.values(), *limits], start=frame.left, end=frame.right, log=True)
    edges = [Line(((x.at(limit), frame.top), (x.at(limit), frame.bottom)), "limit") for limit in limits]
    y = _metric_axis(list(shown), frame)
    in_front = sorted(shown, key=lambda point: (point.strong, point.style == "engine"))
    dots = {point: _dot(point, x.at(shown[point]), y, cost.text(shown[point])) for point in in_front}
    best = unbeaten(shown)
    few = len({point.run for point in shown if not point.strong}) <= MOST_NAMED
    named = [point for point in reversed(in_front) if point.name and (point.strong or few or point in best)]
    return Plot(
        label=f"{metric} against {cost.title}. " + "; ".join(dots[point].tooltip for point in named) + ".",
        width=width,
        height=HEIGHT,
        frame=frame,
        x_title=cost.title,
        y_title=metric,
        x_ticks=x.ticks(cost.tick, most=5),
        y_ticks=y.ticks(lambda value: scale_value(value, metric), most=5),
        lines=(Line(_steps([dots[point] for point in best], frame.right), "best"), *edges),
        dots=tuple(dots.values()),
        names=place_names(
            [(dots[point], _short(point.name)) for point in named],
            dots=dots.values(),
            frame=Frame(frame.left, 4, width, frame.bottom),
        ),
    )


def _metric_axis(shown: list[Point], frame: Frame) -> Axis:
    values = [point.metric.value for point in shown]
    values += [end for point in shown if point.strong for end in point.metric.ci95]
    limits = (0.0, 1.0) if shown[0].metric.name in FRACTIONS else None
    return axis_of(values, start=frame.bottom, end=frame.top, limits=limits)


def _dot(point: Point, x: float, y: Axis, cost: str) -> Dot:
    metric = point.metric
    return Dot(
        x=x,
        y=y.at(metric.value),
        radius=STRONG_RADIUS if point.strong else PLAIN_RADIUS,
        style=point.style if point.strong else f"{point.style} other",
        tooltip=f"{point.run}, {point.label}: {metric_value(metric)} ({metric_interval(metric)}), {cost}",
        whisker=(y.at(metric.ci95[0]), y.at(metric.ci95[1])) if point.strong else (),
    )


def _steps(best: list[Dot], right: float) -> tuple[tuple[float, float], ...]:
    """Return the corners of the line below which every point is beaten."""
    corners: list[tuple[float, float]] = []
    for dot in best:
        if corners:
            corners.append((dot.x, corners[-1][1]))
        corners.append((dot.x, dot.y))
    return (*corners, (right, corners[-1][1]))


def _short(text: str) -> str:
    return text if len(text) <= 24 else text[:23] + "…"
