"""The result in one picture: accuracy, latency and size of teacher, float student, PTQ and engine, as SVG."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from edgekd.report.rows import ModelRow, model_rows
from edgekd.report.schema import Metric, Report
from edgekd.report.templates import render
from edgekd.report.verdict import findings, gates_finding
from edgekd.report.words import FRACTIONS, metric_interval, metric_value, milliseconds, percent, size

MARGIN, LABELS_WIDTH, VALUE_WIDTH, GAP = 28.0, 150.0, 76.0, 22.0
HEADER_LINE, FINDINGS_IN_CARD = 21.0, ("Integer", "Faithful", "Fast", "Gates")


@dataclass(frozen=True)
class Mark:
    """One model in one panel: a bar from ``start`` to ``end``, or an interval with a ``dot`` in it."""

    key: str
    label: str
    detail: str
    y: float
    text: str
    tooltip: str
    start: float = 0.0
    end: float = 0.0
    dot: float | None = None


@dataclass(frozen=True)
class Panel:
    """One quantity of all models, in px from the left and top edge of the picture."""

    title: str
    x: float
    y: float
    lane_x: float
    lane_width: float
    width: float
    marks: tuple[Mark, ...]
    axis: tuple[str, str] | None = None


def render_card(report: Report) -> str:
    """Return the picture for a README: verdict, three panels and how it was measured; of the first target.

    A standalone SVG, 900 px wide, light and dark by ``prefers-color-scheme``.
    """
    target, student = report.targets[0], report.student
    said = [gates_finding(report), *findings(report, target)]
    lines = [finding for finding in said if finding and finding.topic in FINDINGS_IN_CARD]
    top = 66 + HEADER_LINE * len(lines) + 8
    panels = _panels(report, x=MARGIN, y=top, width=900 - 2 * MARGIN, columns=3, row_height=44)
    latency = target.latency_ms
    footer = (
        f"{report.machine.cpu}, {target.kind}, {latency.threads} thread{'s'[: latency.threads != 1]}, "
        f"p50 of {latency.n} interleaved single inferences; {target.metric.name} on {target.metric.n} "
        "test samples with its 95 % interval"
    )
    bits = f"{student.bits.weights}-bit weights, {student.bits.activations}-bit activations"
    return render(
        "card.svg.jinja",
        width=900,
        height=_bottom(panels) + 44,
        title=_shorten(f"{report.pipeline}: {report.teacher.name} to {student.name}, {bits}", 80),
        lines=[(finding.tone, _shorten(finding.text, 120)) for finding in lines],
        line_height=HEADER_LINE,
        panels=panels,
        stacked=False,
        footer=_shorten(footer, 140),
        label=" ".join(f"{finding.topic}: {finding.text}." for finding in said if finding),
    )


def render_bars(report: Report, *, target: int = 0, columns: Literal[1, 3] = 3) -> str:
    """Return the panels alone, for a page that says the rest in words.

    Args:
        report: The report.
        target: Index of the target.
        columns: 3 side by side (900 px wide), or 1 above the other for a phone (400 px wide).
    """
    width = 900 if columns == 3 else 400
    rows = {"x": 10.0, "y": 8.0, "width": width - 20.0, "row_height": 44.0 if columns == 3 else 30.0}
    panels = _panels(report, target=target, columns=columns, **rows)
    return render(
        "card.svg.jinja",
        width=width,
        height=_bottom(panels) + 8,
        title="",
        lines=[],
        line_height=HEADER_LINE,
        panels=panels,
        stacked=columns == 1,
        footer="",
        label="Accuracy, latency and file size of each model; the table below has the same numbers.",
    )


def _panels(
    report: Report,
    *,
    x: float,
    y: float,
    width: float,
    row_height: float,
    columns: Literal[1, 3],
    target: int = 0,
) -> list[Panel]:
    rows = [row for row in model_rows(report, report.targets[target]) if row.key != "fake_quant"]
    labels_width = LABELS_WIDTH if columns == 3 else 124.0
    lane_width = (width - labels_width - 2 * GAP) / 3 - VALUE_WIDTH
    if columns == 1:
        lane_width = width - labels_width - VALUE_WIDTH
    panels: list[Panel] = []
    for draw in (_accuracy, _latency, _file_size):
        lane_x = x + labels_width
        if panels and columns == 3:
            lane_x = panels[-1].lane_x + lane_width + VALUE_WIDTH + GAP
        elif panels:
            y = _bottom(panels) + 20
        labelled = columns == 1 or not panels
        frame = _Frame(x if labelled else lane_x, y, lane_x, lane_width, row_height, labelled, columns == 3)
        panels.append(draw(rows, frame))
    return panels


@dataclass(frozen=True)
class _Frame:
    x: float
    y: float
    lane_x: float
    lane_width: float
    row_height: float
    labelled: bool
    detailed: bool

    def mark(self, row: ModelRow, index: int, *, text: str, tooltip: str, **extent: float) -> Mark:
        label = _shorten(row.label, 22) if self.labelled else ""
        detail = _shorten(row.detail, 28) if self.labelled and self.detailed else ""
        y = self.y + 28 + self.row_height * (index + 0.5)
        return Mark(row.key, label, detail, y, text, f"{row.label}: {tooltip}", **extent)

    def panel(self, title: str, marks: Iterable[Mark], axis: tuple[str, str] | None = None) -> Panel:
        width = self.lane_x + self.lane_width + VALUE_WIDTH - self.x
        return Panel(title, self.x, self.y, self.lane_x, self.lane_width, width, tuple(marks), axis)


def _accuracy(rows: list[ModelRow], frame: _Frame) -> Panel:
    metrics = [row.metric for row in rows if row.metric]
    low, high = _axis_range(metrics)

    def at(value: float) -> float:
        return frame.lane_x + frame.lane_width * (value - low) / (high - low)

    marks = []
    for i, row in enumerate(rows):
        if row.metric:
            text, tooltip = (
                metric_value(row.metric),
                f"{metric_value(row.metric)} ({metric_interval(row.metric)})",
            )
            start, end = map(at, row.metric.ci95)
            marks.append(
                frame.mark(row, i, text=text, tooltip=tooltip, start=start, end=end, dot=at(row.metric.value))
            )
        else:
            marks.append(frame.mark(row, i, text="-", tooltip="not measured"))
    name = metrics[-1].name
    ends = (
        (percent(low, digits=0), percent(high, digits=0))
        if name in FRACTIONS
        else (f"{low:.3g}", f"{high:.3g}")
    )
    return frame.panel(f"Accuracy ({_shorten(name, 12)})", marks, ends)


def _latency(rows: list[ModelRow], frame: _Frame) -> Panel:
    values = [row.latency.p50 if row.latency else None for row in rows]
    return frame.panel("Latency p50, ms", _bars(rows, frame, values, milliseconds))


def _file_size(rows: list[ModelRow], frame: _Frame) -> Panel:
    return frame.panel("File size", _bars(rows, frame, [row.size_bytes for row in rows], size))


def _bars(
    rows: list[ModelRow],
    frame: _Frame,
    values: list[float | None] | list[int | None],
    text: Callable[[float], str],
) -> list[Mark]:
    longest = max(value for value in values if value is not None)
    marks = []
    for i, (row, value) in enumerate(zip(rows, values, strict=True)):
        if value is None:
            marks.append(frame.mark(row, i, text="-", tooltip="not measured"))
        else:
            end = frame.lane_x + frame.lane_width * value / longest
            marks.append(
                frame.mark(row, i, text=text(value), tooltip=text(value), start=frame.lane_x, end=end)
            )
    return marks


def _axis_range(metrics: list[Metric]) -> tuple[float, float]:
    low = min(metric.ci95[0] for metric in metrics)
    high = max(metric.ci95[1] for metric in metrics)
    if metrics[0].name in FRACTIONS:
        return math.floor(low * 100 - 0.5) / 100, min(1.0, math.ceil(high * 100) / 100)
    pad = 0.05 * (high - low) or 1.0
    return low - pad, high + pad


def _bottom(panels: list[Panel]) -> float:
    rows = panels[-1].marks
    return rows[-1].y + (rows[-1].y - rows[-2].y) / 2 + 16


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
