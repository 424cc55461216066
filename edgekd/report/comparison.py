"""Several runs beside each other, one row per engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekd.device.latency import Speedup
from edgekd.report.runs import Run, machine_letters, measured_on, same_test, target_label
from edgekd.report.schema import Report
from edgekd.report.target_schema import TargetReport
from edgekd.report.verdict import outcome
from edgekd.report.words import (
    idle_words,
    metric_interval,
    metric_value,
    milliseconds,
    percent,
    size,
    speedup_interval,
)


@dataclass(frozen=True)
class ComparedEngine:
    """An engine of one of several runs.

    Attributes:
        run: Name of the run, with the runtime, and the device, where it has several engines.
        report: The run's report.
        target: The engine's part of it.
        machine: Letter of the machine that its milliseconds belong to; empty where nothing was timed.
    """

    run: str
    report: Report
    target: TargetReport
    machine: str

    @property
    def over_float(self) -> Speedup | None:
        """How many times faster it is than its own float student."""
        found = (item.speedup for item in self.target.baselines if item.name == "student_float")
        return next(found, None)

    def cells(self) -> tuple[str, ...]:
        """Return the row of `Comparison`, as people read it."""
        target, coverage, fidelity = self.target, self.target.coverage, self.target.fidelity
        operators = max(1, coverage.integer_ops + coverage.float_ops)
        off = fidelity.oracle_mismatches + fidelity.layer_off_by_more
        exact = "not checked" if not fidelity.oracle_nodes else f"{off} wrong" if off else "exact"
        if target.least_agreement is not None and target.agreement_top1 is not None:
            exact = f"{percent(target.agreement_top1)} agree"
        if target.not_run:
            exact = idle_words(target)
        return (
            self.run,
            outcome(self.report).state,
            metric_value(target.metric),
            metric_interval(target.metric),
            size(target.size_bytes),
            size(target.download_bytes),
            milliseconds(target.latency_ms.p50) if target.latency_ms else "-",
            self.machine or "-",
            speedup_interval(self.over_float) if self.over_float else "-",
            percent(coverage.integer_ops / operators, digits=0),
            exact,
        )

    def facts(self) -> dict[str, Any]:
        """Return the same for machines."""
        target = self.target
        return {
            "run": self.run,
            "target": target.kind,
            "verdict": outcome(self.report).state,
            "metric": target.metric.model_dump(mode="json"),
            "size_bytes": target.size_bytes,
            "download_bytes": target.download_bytes,
            "p50_ms": target.latency_ms.p50 if target.latency_ms else None,
            "machine": measured_on(self.report, target) if self.machine else None,
            "over_student_float": self.over_float.model_dump(mode="json") if self.over_float else None,
            "integer_ops": target.coverage.integer_ops,
            "float_ops": target.coverage.float_ops,
            "oracle_mismatches": target.fidelity.oracle_mismatches,
            "layer_off_by_more": target.fidelity.layer_off_by_more,
        }


@dataclass(frozen=True)
class Comparison:
    """A table of engines.

    Attributes:
        columns: Names of what `ComparedEngine.cells` returns; the first two are text, the others numbers.
        engines: Every engine of every run, in their order.
        caveats: What a reader must know: which machine a letter is, and what cannot be compared.
    """

    columns: tuple[str, ...]
    engines: tuple[ComparedEngine, ...]
    caveats: tuple[str, ...]


def compare(runs: Sequence[Run]) -> Comparison:
    """Return what several runs came to."""
    letters = machine_letters(runs)
    engines = []
    for run in runs:
        for target in run.report.targets:
            name = ", ".join(filter(None, (run.name, target_label(run.report, target))))
            letter = letters[measured_on(run.report, target)] if target.latency_ms is not None else ""
            engines.append(ComparedEngine(name, run.report, target, letter))
    metrics = " / ".join(dict.fromkeys(engine.target.metric.name for engine in engines))
    columns = (
        "run", "verdict", metrics, "95 %", "size", "download", "p50 ms", "on", "over own float", "integer",
        "fidelity",
    )  # fmt: skip
    return Comparison(columns, tuple(engines), _caveats(runs, letters))


def _caveats(runs: Sequence[Run], letters: dict[str, str]) -> tuple[str, ...]:
    said = [f"{letter}: {machine}" for machine, letter in letters.items()]
    if len(letters) > 1:
        said.append("Milliseconds of different machines say nothing about each other.")
    first, *others = runs
    if different := [run.name for run in others if not same_test(first.report, run.report)]:
        said.append(f"Other data or another metric than {first.name}: {', '.join(different)}.")
    return tuple(said)
