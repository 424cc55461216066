"""The report on a terminal: the verdict first, then what it rests on."""

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edgekd.core.text import printable
from edgekd.report.comparison import compare
from edgekd.report.costs import lost_lines, saturation_line, time_shares
from edgekd.report.rows import ModelRow, model_rows
from edgekd.report.runs import Run
from edgekd.report.schema import Report
from edgekd.report.search import search_in_report
from edgekd.report.target_schema import TargetReport
from edgekd.report.verdict import Finding, findings, gates_finding
from edgekd.report.words import (
    bits_and_kinds,
    count,
    duration,
    metric_interval,
    metric_value,
    milliseconds,
    native_words,
    percent,
    size,
    speedup_interval,
    stored_form,
)

MARKS = {"good": ("✓", "green"), "warn": ("!", "yellow"), "bad": ("✗", "red")}


def print_summary(report: Report, console: Console) -> None:
    """Print verdict, models, fidelity, coverage and stages of every target.

    Args:
        report: The report.
        console: Where to print; 100 columns are enough.
    """
    gates = gates_finding(report)
    for sentence in search_in_report(report):
        _print(console, f"Search: {sentence}")
    for target in report.targets:
        _print(console, f"{report.pipeline} on {target.title}, {target.device}", style="bold")
        for finding in (*([gates] if gates else []), *findings(report, target)):
            console.print(_finding_text(finding))
        console.print(_models_table(report, target))
        note = [f"  {target.bits_note}"] if target.bits_note else []
        native = [f"On {target.device}: {native_words(target.native)}"] if target.native else []
        lines = (
            _bits_line(report),
            *note,
            *native,
            _file_line(target),
            _fidelity_line(target),
            _coverage_line(target),
        )
        for line in (*lines, *_reasons(target)):
            _print(console, line)
    console.print(_stages_table(report))
    for machine in report.machines:
        _print(console, f"{machine.cpu}, {machine.cores} cores, {' '.join(machine.isa)}", style="dim")
    _print(console, report.command, style="dim")


def print_comparison(runs: Sequence[Run], console: Console) -> None:
    """Print a row for each engine of several runs, and what must be known to compare them.

    Args:
        runs: The runs.
        console: Where to print; 110 columns are enough for names of up to 20.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    found = compare(runs)
    table.add_column(found.columns[0], overflow="fold")
    table.add_column(found.columns[1], no_wrap=True)
    for name in found.columns[2:]:
        table.add_column(name, justify="right", no_wrap=True)
    for engine in found.engines:
        table.add_row(*(_text(cell) for cell in engine.cells()))
    console.print(table)
    for line in found.caveats:
        _print(console, line)


def _text(text: str, style: str = "") -> Text:
    """Return text of a report, which may come from anywhere, as a terminal may show it."""
    return Text(printable(text), style)


def _print(console: Console, line: str, *, style: str = "") -> None:
    console.print(_text(line, style))


def _finding_text(finding: Finding) -> Text:
    mark, colour = MARKS[finding.tone]
    return Text.assemble((f"{mark} {finding.topic:<9}", colour), _text(finding.text))


def _models_table(report: Report, target: TargetReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("model", no_wrap=True)
    for name in (target.metric.name, "95 %", "size", "MACs", "p50 ms", "p90 ms", "p99 ms", "engine speed-up"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in model_rows(report, target):
        table.add_row(
            *(_text(cell) for cell in _model_cells(row)), style="bold" if row.key == "engine" else ""
        )
    return table


def _model_cells(row: ModelRow) -> tuple[str, ...]:
    metric, latency = row.metric, row.latency
    return (
        row.label,
        metric_value(metric) if metric else "",
        metric_interval(metric) if metric else "",
        size(row.size_bytes) if row.size_bytes is not None else "",
        count(row.macs),
        *((milliseconds(ms) for ms in (latency.p50, latency.p90, latency.p99)) if latency else ("", "", "")),
        speedup_interval(row.speedup) if row.speedup else "",
    )


def _bits_line(report: Report) -> str:
    return f"Bits: {bits_and_kinds(report.student)}"


def _file_line(target: TargetReport) -> str:
    forms = Counter(stored_form(layer.stored_bits, layer.table_values) for layer in target.layers)
    layers = "; ".join(f"{number} of {form}" for form, number in forms.items())
    return (
        f"File: weights {size(target.payload_bytes)}, graph {size(target.graph_bytes)}, "
        f"compressed {size(target.download_bytes)}; layers: {layers}"
    )


def _fidelity_line(target: TargetReport) -> str:
    found, agreement = target.fidelity, target.agreement_top1
    oracle = f"oracle {found.oracle_mismatches} of {count(found.oracle_values)} values differ"
    if not found.oracle_nodes:
        oracle = f"no oracle ({target.tolerance_reason or 'no operator has an exact integer form'})"
    return (
        f"Fidelity: {oracle}; layers "
        f"{percent(found.layer_off_by_one, digits=2)} off by one, {found.layer_off_by_more} by more"
        + ("" if agreement is None else f"; agreement {percent(agreement)}")
    )


def _coverage_line(target: TargetReport) -> str:
    found = target.coverage
    shares = time_shares(found.nodes)
    counted = f"{found.integer_ops} operators in integers, {found.float_ops} in float"
    return f"Coverage: {counted}" + (f"; time: {shares}" if shares else "")


def _reasons(target: TargetReport) -> list[str]:
    fallbacks = [f"  float: {node.node} ({node.op}): {node.reason}" for node in target.coverage.fallbacks]
    lost = [f"  time lost: {line}" for line in lost_lines(target.coverage.nodes)]
    risk = saturation_line(target.saturation)
    return [*fallbacks, *lost, *([f"  {risk}"] if risk else [])]


def _stages_table(report: Report) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("stage", "time", "", "why"):
        table.add_column(name, justify="right" if name == "time" else "left", no_wrap=name != "why")
    for stage in report.stages:
        state = Text("cached", "dim") if stage.cached else Text("ran", "cyan")
        table.add_row(_text(stage.name), duration(stage.seconds), state, _text(stage.why))
    return table
