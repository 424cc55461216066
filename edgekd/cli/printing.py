"""What verbs print: tables and sentences for a person, JSON for a machine."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from edgekd.cli.exit_codes import FAILED
from edgekd.core.text import printable

LOG_WIDTH = 110
"""Columns of a log; a terminal says its own."""
BORDERS = ("QuantizeLinear", "DequantizeLinear")
MOST_OFF_BY_MORE = 0.5
"""Share of a layer's codes: a runtime that does not round before an addition was seen to move a fifth."""
COVERAGE_SOURCES = {
    "engine": "",
    "builder": ", by the builder of the engine",
    "file": ", by the quantizers of the file alone",
}
"""What is said of the count of operators, by what says it."""


def announce(text: str) -> None:
    """Write a line of a store's to stderr."""
    Console(stderr=True, highlight=False).print(printable(text), markup=False)


def show_faithfulness(
    model: Path, found: Any, *, tolerance: Any, as_json: bool, extra: dict[str, Any]
) -> None:
    """Print what `verify` and `inspect` found of a model.

    Args:
        model: As a person named it.
        found: Of `verify_feeds`.
        tolerance: Of the runtime.
        as_json: Whether for machines.
        extra: What else was found.
    """
    from edgekd.report.measured import coverage, fidelity

    cover, faith = coverage(found), fidelity(found)
    if as_json:
        seen = {"coverage": cover.model_dump(mode="json"), "fidelity": faith.model_dump(mode="json")}
        print_json({"model": str(model), **extra, **seen})
    else:
        _print_faithfulness(model, cover, faith, tolerance, extra)


def exit_unless_faithful(found: Any, *, tolerance: Any, agreement: float | None = None) -> None:
    """Exit with 3 if numbers are wrong, or if an engine of edgekd is float where it must not be.

    Args:
        found: Of `verify` or `inspect`.
        tolerance: Of the runtime: None demands every code; otherwise no layer may be another one in most of
            its codes.
        agreement: With the answers of the file in float, if they were compared.
    """
    oracle, layers = found.oracle, found.layers
    most = 0.0 if tolerance is None else MOST_OFF_BY_MORE
    wrong = oracle.mismatches or any(layer.off_by_more > most * layer.values for layer in layers)
    if tolerance is not None and agreement is not None and agreement < tolerance.agreement:
        wrong = True
    if wrong or (layers and found.coverage.unlisted):
        raise typer.Exit(FAILED)


def _print_faithfulness(model: Path, cover: Any, faith: Any, tolerance: Any, extra: dict[str, Any]) -> None:
    share, not_run = cover.integer_time_share, extra.get("not_run", "")
    spent = f" ({100 * (1 - share):.1f} % of the time)" if cover.float_ops and share is not None else ""
    said = f"{model}: {cover.integer_ops} operators in integers, {cover.float_ops} in float{spent}"
    say(f"{said}{COVERAGE_SOURCES[cover.source]}")
    if faith.oracle_nodes:
        compared = f"{faith.oracle_values} values in {faith.oracle_nodes} operators"
        say(f"oracle: {faith.oracle_mismatches} of {compared} differ from exact arithmetic")
    else:
        why = tolerance.reason if tolerance else "no operator of it has an exact integer form"
        say(f"no oracle: {why}")
    if faith.first_mismatch:
        say(f"first: {faith.first_mismatch}")
    if faith.oracle_unchecked:
        say(f"not modelled, not compared: {', '.join(faith.oracle_unchecked)}")
    if faith.layer_tensors:
        share = f"{100 * faith.layer_off_by_one:.3f} % of codes off by one"
        say(f"layers: {share}, {faith.layer_off_by_more} by more, in {faith.layer_tensors} tensors")
    if extra.get("top1") is not None:
        qualified = f", computed in float from the file's Q/DQ graph: {not_run}" if not_run else ""
        say(f"top1: {100 * extra['top1']:.2f} % of {extra['n']}{qualified}")
    if extra.get("agreement") is not None:
        agree = f"{100 * extra['agreement']:.2f} % as the file's Q/DQ graph in float"
        say(f"answers: {agree}, {100 * tolerance.agreement:g} % demanded")
    if extra.get("not_scored"):
        say(f"top1: not compared: {extra['not_scored']}")
    rows = [(item.node, item.op, item.reason) for item in cover.fallbacks if item.op not in BORDERS]
    if rows:
        print_table("In float", ("operator", "type", "why, and what to change"), rows)
    borders = len(cover.fallbacks) - len(rows)
    if borders:
        say(f"and {borders} QuantizeLinear and DequantizeLinear between them and integers")


def report_console(*, log_width: int = LOG_WIDTH) -> Console:
    """Return where reports are printed: as wide as the terminal, or as ``log_width`` where there is none."""
    return Console(width=None if sys.stdout.isatty() else log_width, markup=False, highlight=False)


def say(text: str, *, err: bool = False) -> None:
    """Print lines for a person; names in them, of files for example, may hold signs that a terminal obeys."""
    typer.echo("\n".join(printable(line) for line in text.split("\n")), err=err)


def print_json(value: Any) -> None:
    """Print a value for machines."""
    typer.echo(json.dumps(value, indent=2))


def print_table(
    title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], *, whole: int = 0
) -> None:
    """Print rows of text under a title; the first ``whole`` columns are not wrapped."""
    table = Table(title=printable(title), title_justify="left", box=None, padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index < whole)
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    report_console().print(table)
