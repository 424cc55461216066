"""The plots of the HTML report, as plain figures for plotly.js.

plotly.js reads a small HTML in its labels, so every text is escaped here, once more than the page does.
"""

import math
from html import escape
from itertools import groupby
from typing import Any

from edgekd.report.rows import ModelRow, model_rows
from edgekd.report.schema import EpochRecord, Report
from edgekd.report.target_schema import TargetReport
from edgekd.report.words import FRACTIONS, metric_interval, metric_value, milliseconds, size

COLOURS = {
    "teacher_float": "#8a94a6",
    "student_float": "#4c7df0",
    "ptq": "#e8a13a",
    "engine": "#12a594",
}
PHASE_COLOURS = ("#8a94a6", "#4c7df0", "#12a594", "#e8a13a", "#b264d6", "#e0607e")

LOG = {"type": "log", "tickformat": "~g", "nticks": 3}

Figure = dict[str, Any]


def accuracy_latency_figure(report: Report, target: TargetReport) -> Figure:
    """Return metric over p50, one bubble per model, its area in proportion to the file size."""
    rows = [row for row in model_rows(report, target) if row.metric and row.latency and row.size_bytes]
    largest = max((row.size_bytes or 0 for row in rows), default=1)
    name = escape(target.metric.name)
    return {
        "data": [_bubble(row, largest) for row in rows],
        "layout": {
            "xaxis": {"title": {"text": "p50, ms"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": name}, "tickformat": _tick_format(target.metric.name)},
        },
    }


def latency_figure(report: Report, target: TargetReport) -> Figure:
    """Return the median of each round, a box and its points per model, on a log axis."""
    labels = {row.key: row.label for row in model_rows(report, target)}
    return {
        "data": [
            {
                "type": "box",
                "orientation": "h",
                "name": escape(labels.get(name, name)),
                "x": times_ms,
                "boxpoints": "all",
                "jitter": 0.5,
                "pointpos": 0,
                "marker": {"color": COLOURS.get(name, COLOURS["engine"]), "size": 4, "opacity": 0.6},
                "line": {"width": 1.5},
                "fillcolor": "transparent",
                "hovertemplate": "%{x:.4f} ms",
            }
            for name, times_ms in sorted(target.times_ms.items(), key=lambda item: sorted(item[1]))
        ],
        "layout": {
            "showlegend": False,
            "xaxis": {"title": {"text": "median of a round, ms"}, **LOG},
        },
    }


def training_figure(report: Report) -> Figure:
    """Return loss (log) and validation metric over all epochs, one line per phase."""
    data, start = [], 0
    phases = [
        (name, list(epochs)) for name, epochs in groupby(report.student.history, lambda epoch: epoch.phase)
    ]
    for index, (name, epochs) in enumerate(phases):
        data += _phase_lines(name, epochs, start, PHASE_COLOURS[index % len(PHASE_COLOURS)])
        start += len(epochs)
    metric = report.student.metric_float.name
    return {
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": "epoch, all phases"}, "anchor": "y2"},
            "yaxis": {"title": {"text": "loss"}, "domain": [0.56, 1], **LOG},
            "yaxis2": {
                "title": {"text": f"validation {escape(metric)}"},
                "tickformat": _tick_format(metric),
                "domain": [0, 0.46],
            },
        },
    }


def _bubble(row: ModelRow, largest: int) -> Figure:
    metric, latency = row.metric, row.latency
    assert metric and latency and row.size_bytes
    low, high = metric.ci95
    text = (
        f"{escape(row.label)}<br>{metric_value(metric)} ({metric_interval(metric)})<br>"
        f"p50 {milliseconds(latency.p50)} ms, {size(row.size_bytes)}"
    )
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escape(row.label),
        "x": [latency.p50],
        "y": [metric.value],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [high - metric.value],
            "arrayminus": [metric.value - low],
            "thickness": 1.2,
            "width": 4,
        },
        "marker": {"color": COLOURS[row.key], "size": max(9.0, 46 * math.sqrt(row.size_bytes / largest))},
        "hovertemplate": text + "<extra></extra>",
    }


def _phase_lines(name: str, epochs: list[EpochRecord], start: int, colour: str) -> list[Figure]:
    steps = [start + i + 1 for i in range(len(epochs))]
    shared = {"type": "scatter", "name": escape(name), "legendgroup": str(start), "line": {"color": colour}}
    scored = [
        (step, epoch.metric) for step, epoch in zip(steps, epochs, strict=True) if epoch.metric is not None
    ]
    loss = {**shared, "mode": "lines", "x": steps, "y": [epoch.loss for epoch in epochs]}
    metric = {
        **shared,
        "mode": "lines+markers",
        "marker": {"size": 5},
        "x": [step for step, _ in scored],
        "y": [value for _, value in scored],
        "yaxis": "y2",
        "showlegend": False,
    }
    return [loss, metric]


def _tick_format(metric_name: str) -> str:
    return ".1%" if metric_name in FRACTIONS else ".4~g"
