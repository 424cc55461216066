"""How far a long piece of work is: a bar on a terminal, a line now and then in a log."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from edgekd.core.text import printable

LOG_INTERVAL_S = 10.0
"""Seconds between two lines where stderr is no terminal."""


class Advance(Protocol):
    """What ``progress`` yields: tells that ``n`` more steps are done, and the last values worth showing."""

    def __call__(self, n: int = 1, *, total: int | None = None, **fields: object) -> None:
        """Count ``n`` steps, of ``total`` where that has changed.

        ``fields``, such as ``loss=0.42``, stay shown until the next ones.
        """


@contextmanager
def progress(description: str, total: int) -> Iterator[Advance]:
    """Show the progress of ``total`` steps on stderr while the block runs.

    On a terminal: a live bar with steps, elapsed and remaining time, and the last fields. Elsewhere, such
    as in a CI log: one plain line at most every 10 seconds and one at the end. With
    ``EDGEKD_PROGRESS=off``: nothing.

    Args:
        description: What is done, in a word or two.
        total: Number of steps.

    Example:
        >>> with progress("epoch 1", total=100) as advance:
        ...     for loss in (0.9, 0.4):
        ...         advance(50, loss=loss)
    """
    if os.environ.get("EDGEKD_PROGRESS") == "off":
        yield lambda n=1, *, total=None, **fields: None
    elif sys.stderr.isatty():
        with _bar(description, total) as advance:
            yield advance
    else:
        with _lines(description, total) as advance:
            yield advance


@contextmanager
def _bar(description: str, total: int) -> Iterator[Advance]:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}", markup=False, style="dim"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total, last="")

        def advance(n: int = 1, *, total: int | None = None, **fields: object) -> None:
            if fields:
                bar.update(task, last=_fields_text(fields))
            bar.update(task, total=total)  # None leaves it as it is
            bar.advance(task, n)

        yield advance


@contextmanager
def _lines(description: str, total: int) -> Iterator[Advance]:
    start = last_line = time.monotonic()
    done, planned, last = 0, total, ""

    def advance(n: int = 1, *, total: int | None = None, **fields: object) -> None:
        nonlocal done, last, last_line, planned
        done, planned = done + n, total or planned
        last = _fields_text(fields) if fields else last
        now = time.monotonic()
        if now - last_line >= LOG_INTERVAL_S and done < planned:
            last_line = now
            left = f", {_clock((now - start) / done * (planned - done))} left" if done else ""
            _write_line(f"{description}: {done}/{planned} in {_clock(now - start)}{left}", last)

    try:
        yield advance
    finally:
        _write_line(f"{description}: {done}/{planned} in {_clock(time.monotonic() - start)}", last)


def note(text: str) -> None:
    """Write a line to stderr, also while a bar is drawn there; with ``EDGEKD_PROGRESS=off`` nothing."""
    if os.environ.get("EDGEKD_PROGRESS") != "off":
        _write_line(text, "")


def _fields_text(fields: dict[str, object]) -> str:
    values = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in fields.values())
    return "  ".join(f"{name} {value}" for name, value in zip(fields, values, strict=True))


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))


def _write_line(text: str, last: str) -> None:
    sys.stderr.write(printable(f"{text}  {last}".rstrip()) + "\n")
    sys.stderr.flush()
