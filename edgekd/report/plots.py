"""The plots of one run: how its training went, and how its latencies are spread."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby

import numpy as np

from edgekd.report.axis import Axis, axis_of
from edgekd.report.plot import CHARACTER_WIDTH, Box, Dot, Frame, Line, Name, Plot
from edgekd.report.rows import model_rows
from edgekd.report.schema import EpochRecord, Report
from edgekd.report.target_schema import TargetReport
from edgekd.report.words import FRACTIONS, milliseconds, scale_value

TRAINING_HEIGHT, STRIP_HEIGHT = 292, 54
MOST_DOTS, MOST_EPOCH_DOTS = 240, 60
GOLDEN = 0.6180339887  # multiples of it modulo 1 spread evenly, without a random number

Series = dict[str, list[tuple[int, float]]]
"""Epochs, counted over all phases from 1, and what was known of them, for student and teacher."""


def latency_plot(report: Report, target: TargetReport, *, width: float) -> Plot | None:
    """Return every round's median of every model on one logarithmic axis; None if nothing was timed."""
    rows = [row for row in model_rows(report, target) if target.times_ms.get(row.key)]
    if not rows:
        return None
    height = STRIP_HEIGHT * len(rows) + 58
    frame = Frame(2, 6, width - 10, height - 44)
    every = [ms for row in rows for ms in target.times_ms[row.key]]
    x = axis_of(every, start=frame.left, end=frame.right, log=True)
    boxes: list[Box] = []
    lines: list[Line] = []
    dots: list[Dot] = []
    names: list[Name] = []
    for index, row in enumerate(rows):
        top = frame.top + STRIP_HEIGHT * index
        times = target.times_ms[row.key]
        box, median, strip = _strip(times, row.key, x, top + 22)
        boxes.append(box)
        lines.append(median)
        dots += strip
        names.append(Name(frame.left, top + 13, _spread(row.label, times), style="name"))
    return Plot(
        label="Median of the rounds, and where nine of ten of them were. "
        + "; ".join(name.text for name in names)
        + ".",
        width=width,
        height=height,
        frame=frame,
        x_title="median of a round, ms",
        x_ticks=x.ticks(lambda ms: f"{ms:g}", most=6),
        boxes=tuple(boxes),
        lines=tuple(lines),
        dots=tuple(dots),
        names=tuple(names),
    )


def training_plots(report: Report, *, width: float) -> tuple[Plot, ...]:
    """Return the losses and, where it was evaluated, the validation metric, over the epochs of all phases."""
    history = report.student.history
    metric = report.student.metric_float.name
    losses = {
        "student": _known(history, lambda epoch: epoch.loss),
        "teacher": _known(history, lambda epoch: epoch.teacher_loss),
    }
    scores = {
        "student": _known(history, lambda epoch: epoch.metric),
        "teacher": _known(history, lambda epoch: epoch.teacher_metric),
    }
    frame = Frame(50, 42, width - 12, TRAINING_HEIGHT - 44)
    plots = []
    if loss := _values(losses):
        y = axis_of(loss, start=frame.bottom, end=frame.top, log=True)
        plots.append(_curves(history, losses, y, frame, title="loss", text=lambda value: f"{value:.3g}"))
    if score := _values(scores):
        limits = (0.0, 1.0) if metric in FRACTIONS else None
        y = axis_of(score, start=frame.bottom, end=frame.top, limits=limits)
        text, title = partial(scale_value, metric_name=metric), f"validation {metric}"
        plots.append(_curves(history, scores, y, frame, title=title, text=text))
    return tuple(plots)


def phases(history: Sequence[EpochRecord]) -> list[tuple[str, int, int]]:
    """Return name, first and last epoch of each phase, counted over all phases from 1."""
    found, start = [], 1
    for name, epochs in groupby(history, lambda epoch: epoch.phase):
        length = len(list(epochs))
        found.append((name, start, start + length - 1))
        start += length
    return found


def _strip(times: Sequence[float], style: str, x: Axis, top: float) -> tuple[Box, Line, list[Dot]]:
    low, middle, high = (float(value) for value in np.percentile(times, [25, 50, 75]))
    box = Box(x.at(low), top, max(1.0, x.at(high) - x.at(low)), 22, style)
    median = Line(((x.at(middle), top - 2), (x.at(middle), top + 24)), f"median {style}")
    shown = times[:: math.ceil(len(times) / MOST_DOTS)]
    dots = [
        Dot(
            x.at(ms),
            round(top + 3 + 16 * (i * GOLDEN % 1), 1),
            2.4,
            f"{style} round",
            f"{milliseconds(ms)} ms",
        )
        for i, ms in enumerate(shown)
    ]
    return box, median, dots


def _spread(label: str, times: Sequence[float]) -> str:
    low, middle, high = (float(value) for value in np.percentile(times, [5, 50, 95]))
    return f"{label}: {milliseconds(middle)} ms ({milliseconds(low)}-{milliseconds(high)})"


def _curves(
    history: Sequence[EpochRecord],
    series: Series,
    y: Axis,
    frame: Frame,
    *,
    title: str,
    text: Callable[[float], str],
) -> Plot:
    x = Axis(0, max(1, len(history)), frame.left, frame.right)
    spans = phases(history)
    starts = [x.at(first - 1) for _, first, _ in spans]
    lines = [Line(((at, frame.top), (at, frame.bottom)), "phase") for at in starts[1:]]
    dots: list[Dot] = []
    for who, known in series.items():
        for name, first, last in spans:
            part = [(epoch, value) for epoch, value in known if first <= epoch <= last]
            places = tuple((x.at(epoch), y.at(value)) for epoch, value in part)
            lines.append(Line(places, f"curve {who}"))
            if len(part) <= MOST_EPOCH_DOTS:
                dots += [
                    Dot(*at, 2.6, f"epoch {who}", f"{who}, {name}, epoch {epoch - first + 1}: {text(value)}")
                    for at, (epoch, value) in zip(places, part, strict=True)
                ]
    return Plot(
        label=f"{title} by epoch: {_course(series)}.",
        width=frame.right + 12,
        height=TRAINING_HEIGHT,
        frame=frame,
        x_title="epoch, all phases",
        y_title=title,
        x_ticks=x.ticks(lambda epoch: f"{epoch:g}", most=5),
        y_ticks=y.ticks(text, most=7),
        lines=tuple(line for line in lines if line.points),
        dots=tuple(dots),
        names=_phase_names(spans, x, frame),
    )


def _values(series: Series) -> list[float]:
    return [value for known in series.values() for _, value in known]


def _known(
    history: Sequence[EpochRecord], value: Callable[[EpochRecord], float | None]
) -> list[tuple[int, float]]:
    found = ((number, value(epoch)) for number, epoch in enumerate(history, start=1))
    return [(number, got) for number, got in found if got is not None and math.isfinite(got)]


def _phase_names(spans: list[tuple[str, int, int]], x: Axis, frame: Frame) -> tuple[Name, ...]:
    return tuple(
        Name(x.at(first - 1) + 2, frame.top - 5, name, style="name phase")
        for name, first, last in spans
        if CHARACTER_WIDTH * len(name) < x.at(last) - x.at(first - 1)
    )


def _course(series: Series) -> str:
    return "; ".join(
        f"{who} from {known[0][1]:.3g} to {known[-1][1]:.3g}" for who, known in series.items() if known
    )
