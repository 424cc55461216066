"""The report as one HTML file that opens anywhere, offline: verdict first, then everything it rests on.

A page holds no script and names no other file; its content security policy allows neither.
"""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from edgekd.report.card import render_bars
from edgekd.report.comparison import compare
from edgekd.report.frontier import Point, latency_frontier, points, size_frontier
from edgekd.report.layer_rows import float_groups, layer_rows
from edgekd.report.plot import Plot
from edgekd.report.plots import latency_plot, phases, training_plots
from edgekd.report.rows import model_rows
from edgekd.report.runs import Run, Siblings, measured_on, same_test, target_label
from edgekd.report.schema import Report
from edgekd.report.search import SEARCH_COLUMNS, device_name, search_in_report, search_points, search_rows
from edgekd.report.target_schema import TargetReport
from edgekd.report.templates import render
from edgekd.report.verdict import accuracy_cost, findings, outcome
from edgekd.search.record import SearchRecord

WIDE, NARROW = 464.0, 330.0
"""Half of the page, and the whole of a phone's, px."""

SLOWEST = 10
"""Nodes whose time is shown."""


@dataclass(frozen=True)
class Forms:
    """A plot for a wide page and for a phone; the page shows one of them."""

    wide: Plot
    narrow: Plot


def render_html(report: Report, others: Siblings = Siblings()) -> str:  # noqa: B008  frozen
    """Return the page of one run.

    Args:
        report: What it claims. Every text in it is escaped.
        others: The other runs of its folder, which its frontier shows beside it.
    """
    shown = [point for run in others.runs for point in points(run, strong=False)]
    own = Run(report.pipeline, report)
    shown += points(own, strong=True)
    timed = (target for target in report.targets if target.latency_ms is not None)
    places = dict.fromkeys(measured_on(report, target) for target in timed)
    return render(
        "report.html.jinja",
        report=report,
        outcome=outcome(report),
        machines=report.machines,
        targets=[_target(report, target, index) for index, target in enumerate(report.targets)],
        frontier=_frontier(shown, list(places)),
        elsewhere=len({point.run for point in shown if point.p50_ms and point.machine not in places}),
        others=others,
        comparison=compare([own, *others.runs]),
        training=_training(report),
        phases=phases(report.student.history),
        search=_search(report, report.search) if report.search else None,
    )


def _search(report: Report, record: SearchRecord) -> dict[str, Any]:
    most_ms = record.limits.max_p50_ms
    draw = partial(latency_frontier, search_points(record), device_name(record), most_ms=most_ms)
    return {
        "record": record,
        "forms": _forms(draw),
        "columns": SEARCH_COLUMNS,
        "rows": search_rows(record),
        "sentences": search_in_report(report),
    }


def render_comparison(runs: Sequence[Run]) -> str:
    """Return the page of several runs: a row for each engine, and what none of the others beats."""
    alike = (run for run in runs if same_test(runs[0].report, run.report))
    shown = [point for run in alike for point in points(run, strong=False)]
    places = dict.fromkeys(point.machine for point in shown if point.p50_ms is not None)
    return render(
        "comparison.html.jinja",
        comparison=compare(runs),
        frontier=_frontier(shown, list(places)),
    )


def _target(report: Report, target: TargetReport, index: int) -> dict[str, Any]:
    return {
        "report": target,
        "label": target_label(report, target),
        "findings": findings(report, target),
        "rows": model_rows(report, target),
        "bars": _data_uri(render_bars(report, target=index)),
        "bars_narrow": _data_uri(render_bars(report, target=index, columns=1)),
        "latency": _forms(partial(latency_plot, report, target)),
        "accuracy_cost": accuracy_cost(report, target),
        "slowest": () if target.coverage.integer_time_share is None else target.coverage.nodes[:SLOWEST],
        "float_groups": float_groups(target.coverage),
        "layers": layer_rows(target),
    }


def _frontier(shown: Sequence[Point], machines: Sequence[str]) -> list[tuple[str, str, Forms]]:
    """Return title, subtitle and plot: one of latency for each machine, and one of size."""
    found = []
    for machine in machines:
        forms = _forms(partial(latency_frontier, shown, machine))
        found.append(("Accuracy against latency", machine, forms))
    forms = _forms(partial(size_frontier, shown))
    found.append(("Accuracy against size", "the same on every machine", forms))
    return [(title, place, forms) for title, place, forms in found if forms]


def _training(report: Report) -> list[Forms]:
    forms = (training_plots(report, width=width) for width in (WIDE, NARROW))
    return [Forms(*pair) for pair in zip(*forms, strict=True)]


def _forms(draw: Callable[..., Plot | None]) -> Forms | None:
    wide, narrow = draw(width=WIDE), draw(width=NARROW)
    return Forms(wide, narrow) if wide and narrow else None


def _data_uri(svg: str) -> str:
    return "data:image/svg+xml;base64," + b64encode(svg.encode()).decode()
