"""The result in one picture: accuracy, latency and size of teacher, float student, PTQ and engine, as SVG."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from edgekd.report.rows import ModelRow, model_rows
from edgekd.report.schema import Report
from edgekd.report.templates import render
from edgekd.report.verdict import findings, gates_finding
from edgekd.report.words import FRACTIONS, metric_interval, metric_value, milliseconds, percent, size

TOPICS = ("Gates", "Integer", "Faithful", "Fast")
"""Findings that the picture says in words; its panels show the others."""

NOT_SHOWN = ("fake_quant", "other_teacher", "assistant")
"""Models that have no latency: the tables show them."""

VALUE_WIDTH, GAP, HEAD_HEIGHT, AXIS_HEIGHT = 76.0, 22.0, 28.0, 16.0
"""Room for the number beside a lane, between panels, for the title above and the axis below the lanes, px."""


@dataclass(frozen=True)
class Shown:
    """One value of one model: a bar up to ``end``, or a line with a ``dot`` in it; 0..1 of the lane."""

    text: str
    tooltip: str
    start: float = 0.0
    end: float = 0.0
    dot: float | None = None


@dataclass(frozen=True)
class Quantity:
    """One quantity of all models, with the ends of its axis where the lanes do not start at 0."""

    title: str
    shown: tuple[Shown, ...]
    axis: tuple[str, str] | None = None


@dataclass(frozen=True)
class Panel:
    """A quantity and its place: px from the left and top edge of the picture."""

    quantity: Quantity
    x: float
    y: float
    lane_x: float
    lane_width: float


def render_card(report: Report) -> str:
    """Return the picture for a README: verdict, three panels and how it was measured; of the first target.

    A standalone SVG, 900 px wide, light and dark by ``prefers-color-scheme``.
    """
    target, bits = report.targets[0], report.student.bits
    said = [finding for finding in (gates_finding(report), *findings(report, target)) if finding]
    lines = [(finding.tone, _shorten(finding.text, 104)) for finding in said if finding.topic in TOPICS]
    footer = f"{report.machine_of(target).cpu}, {target.kind}, "
    if (latency := target.latency_ms) is not None:
        threads = "1 thread" if latency.threads == 1 else f"{latency.threads} threads"
        footer += f"{threads}; p50 of {latency.n} inferences; "
    footer += f"{target.metric.name} of {target.metric.n} test samples, 95 % interval"
    title = f"{report.pipeline}: {report.lineage}, W{bits.weights}A{bits.activations}"
    return _render(
        report,
        margin=28,
        top=74 + 21 * len(lines),
        bottom=44,
        title=_shorten(title, 72),
        lines=lines,
        footer=_shorten(footer, 128),
        label=" ".join(f"{finding.topic}: {finding.text}." for finding in said),
    )


def render_bars(report: Report, *, target: int = 0, columns: Literal[1, 3] = 3) -> str:
    """Return the panels alone, for a page that says the rest in words.

    Args:
        report: The report.
        target: Index of the target.
        columns: 3 side by side (900 px wide), or 1 above the other for a phone (400 px wide).
    """
    label = "Accuracy, latency and file size of each model; the table below has the same numbers."
    return _render(report, target=target, columns=columns, margin=10, top=8, bottom=0, label=label)


def _render(
    report: Report,
    *,
    margin: float,
    top: float,
    bottom: float,
    label: str,
    target: int = 0,
    columns: Literal[1, 3] = 3,
    title: str = "",
    lines: Sequence[tuple[str, str]] = (),
    footer: str = "",
) -> str:
    rows = [row for row in model_rows(report, report.targets[target]) if row.key not in NOT_SHOWN]
    width, row_height = (900, 44.0) if columns == 3 else (400, 30.0)
    panel_height = HEAD_HEIGHT + row_height * len(rows) + AXIS_HEIGHT
    panels = _panels(rows, columns=columns, margin=margin, top=top, width=width, panel_height=panel_height)
    return render(
        "card.svg.jinja",
        width=width,
        height=round(panels[-1].y + panel_height + bottom),
        margin=margin,
        columns=columns,
        row_height=row_height,
        head_height=HEAD_HEIGHT,
        models=[(row.key, _shorten(row.label, 16), _shorten(row.detail, 22)) for row in rows],
        panels=panels,
        title=title,
        lines=lines,
        footer=footer,
        label=label,
    )


def _panels(
    rows: list[ModelRow],
    *,
    columns: Literal[1, 3],
    margin: float,
    top: float,
    width: float,
    panel_height: float,
) -> list[Panel]:
    quantities = (_accuracy(rows), _latency(rows), _file_size(rows))
    if columns == 1:
        lane_x = margin + 124
        lane_width = width - margin - lane_x - VALUE_WIDTH
        return [
            Panel(quantity, margin, top + i * (panel_height + 12), lane_x, lane_width)
            for i, quantity in enumerate(quantities)
        ]
    lane_x = margin + 150
    step = (width - margin - lane_x + GAP) / 3
    lane_width = step - GAP - VALUE_WIDTH
    return [
        Panel(quantity, margin, top, lane_x + i * step, lane_width) for i, quantity in enumerate(quantities)
    ]


def _accuracy(rows: list[ModelRow]) -> Quantity:
    metrics = [row.metric for row in rows if row.metric]
    name = metrics[-1].name
    low, high = min(metric.ci95[0] for metric in metrics), max(metric.ci95[1] for metric in metrics)
    if name in FRACTIONS:
        low, high = math.floor(low * 100 - 0.5) / 100, min(1.0, math.ceil(high * 100) / 100)
        axis = (percent(low, digits=0), percent(high, digits=0))
    else:
        pad = 0.05 * (high - low) or 1.0
        low, high = low - pad, high + pad
        axis = (f"{low:.3g}", f"{high:.3g}")
    shown = []
    for row in rows:
        if row.metric is None:
            shown.append(_nothing(row))
            continue
        start, end, dot = ((x - low) / (high - low) for x in (*row.metric.ci95, row.metric.value))
        text = metric_value(row.metric)
        tooltip = f"{row.label}: {text} ({metric_interval(row.metric)})"
        shown.append(Shown(text, tooltip, start, end, dot))
    return Quantity(f"Accuracy ({_shorten(name, 12)})", tuple(shown), axis)


def _latency(rows: list[ModelRow]) -> Quantity:
    values = [row.latency.p50 if row.latency else None for row in rows]
    return Quantity("Latency p50, ms", _bars(rows, values, milliseconds))


def _file_size(rows: list[ModelRow]) -> Quantity:
    return Quantity("File size", _bars(rows, [row.size_bytes for row in rows], size))


def _bars(
    rows: list[ModelRow], values: Sequence[float | None], text: Callable[[float], str]
) -> tuple[Shown, ...]:
    longest = max((value for value in values if value is not None), default=1.0)
    return tuple(
        _nothing(row)
        if value is None
        else Shown(text(value), f"{row.label}: {text(value)}", end=value / longest)
        for row, value in zip(rows, values, strict=True)
    )


def _nothing(row: ModelRow) -> Shown:
    return Shown("-", f"{row.label}: not measured")


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
