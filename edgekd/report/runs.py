"""Runs beside each other: what was written into a folder of runs, and which of it may be compared."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from edgekd.errors import StoreError
from edgekd.report.schema import Report
from edgekd.report.target_schema import TargetReport

REPORT_FILE = "report.json"


@dataclass(frozen=True)
class Run:
    """A report and the name of the folder that it stands in."""

    name: str
    report: Report

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a run.

        Args:
            path: Its folder, or its report.json.

        Raises:
            StoreError: If there is no report that can be read.
        """
        file = path / REPORT_FILE if path.is_dir() else path
        return cls(file.resolve().parent.name, Report.load(file))


@dataclass(frozen=True)
class Siblings:
    """The other runs of a folder.

    Attributes:
        runs: Those on the same data, by name.
        notes: Why others are left out.
    """

    runs: tuple[Run, ...] = ()
    notes: tuple[str, ...] = ()


def load_runs(paths: Sequence[Path]) -> tuple[Run, ...]:
    """Read runs; those whose folders have the same name are told by their paths.

    Raises:
        StoreError: If one of them has no report that can be read.
    """
    runs = [Run.load(path) for path in paths]
    often = Counter(run.name for run in runs)
    return tuple(
        replace(run, name=str(path)) if often[run.name] > 1 else run
        for run, path in zip(runs, paths, strict=True)
    )


def siblings(folder: Path, report: Report) -> Siblings:
    """Return the runs beside the folder of a run that are about the same data and metric.

    A report that cannot be read is said in a note and harms nothing else.
    """
    runs, notes, others = [], [], 0
    for path in sorted(folder.resolve().parent.glob(f"*/{REPORT_FILE}")):
        if path.parent == folder.resolve() or not path.is_file():
            continue
        try:
            run = Run.load(path)
        except StoreError as e:
            notes.append(f"{path.parent.name} is left out: {e.what}")
            continue
        if same_test(run.report, report):
            runs.append(run)
        else:
            others += 1
    if others:
        notes.append(f"{others} more in this folder {'are' if others > 1 else 'is'} about other data")
    return Siblings(tuple(runs), tuple(notes))


def same_test(one: Report, other: Report) -> bool:
    """Whether two runs scored the same metric on the same data, as far as reports say."""
    return one.data == other.data and one.targets[0].metric.name == other.targets[0].metric.name


def measured_on(report: Report, target: TargetReport) -> str:
    """Return what milliseconds of a target belong to; those of two such machines are not comparable."""
    machine = report.machine_of(target)
    cores = f"{machine.cores} core{'s' if machine.cores != 1 else ''}"
    device = "" if target.device == "local" else f", device {target.device}"
    return f"{machine.cpu}, {cores}{device}"


def target_label(report: Report, target: TargetReport) -> str:
    """Return what tells a target from the others of its run; empty where there is one alone."""
    if len(report.targets) == 1:
        return ""
    alike = sum(other.kind == target.kind for other in report.targets)
    return f"{target.title} on {target.device}" if alike > 1 else target.kind


def machine_letters(runs: Iterable[Run]) -> dict[str, str]:
    """Return a letter for each machine on which something was timed, in the order of the runs."""
    places = dict.fromkeys(
        measured_on(run.report, target)
        for run in runs
        for target in run.report.targets
        if target.latency_ms is not None
    )
    return {place: _letter(i) for i, place in enumerate(places)}


def _letter(index: int) -> str:
    return chr(ord("A") + index) if index < 26 else f"{_letter(index // 26 - 1)}{_letter(index % 26)}"
