"""What ``edgekd bench`` measured: the file with every time, and how a person reads it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from pydantic import AwareDatetime

import edgekd
from edgekd.board.rounds import Design
from edgekd.core.machine import Machine
from edgekd.core.spec_base import Spec
from edgekd.device.latency import LatencySamples, Measurement, Speedup, speedup
from edgekd.report.words import milliseconds, size

BENCH_VERSION: Final = 1
_DIGITS = 6  # nanoseconds


class BenchedModel(Spec):
    """One model.

    Attributes:
        name: As on the command line.
        size_bytes: Of its file, with those that it keeps weights in.
        p50, p90, p99, mean, min: Milliseconds per inference.
        n: Timed inferences.
        warmup: Untimed inferences before those of a session, about.
        open_ms: Milliseconds that opening took, the median over sessions.
        peak_memory_bytes: What opening and running it added to its process at most; None where unknown.
        times_ms: Every time (sessions, rounds, inferences).
    """

    name: str
    size_bytes: int
    p50: float
    p90: float
    p99: float
    mean: float
    min: float
    n: int
    warmup: int
    open_ms: float
    peak_memory_bytes: int | None
    times_ms: tuple[tuple[tuple[float, ...], ...], ...]


class Comparison(Spec):
    """The first model beside another one.

    Attributes:
        against: The other one.
        speedup: How many times faster the first is.
    """

    against: str
    speedup: Speedup


class BenchReport(Spec):
    """All of one measurement.

    Attributes:
        version: Of this format.
        edgekd: Version that measured.
        created: When.
        command: What was typed.
        device: Where.
        machine: What that is.
        threads: Of one inference.
        seed: Of inputs, orders and memory layout.
        design: How long was measured: that of `edgekd.board.rounds.Design`.
        minimum_effect: Smallest relative difference that matters.
        sessions: How often every model was opened.
        cores: What the processes were confined to; empty if they were not.
        models: The first is compared with the others.
        comparisons: With each other one.
        doubts: What makes the numbers doubtful.
        notes: What else is to know.
        before: State of the machine before, and
        after: afterwards.
    """

    version: int = BENCH_VERSION
    edgekd: str
    created: AwareDatetime
    command: str
    device: str
    machine: Machine
    threads: int
    seed: int
    design: dict[str, float]
    minimum_effect: float
    sessions: int
    cores: tuple[int, ...]
    models: tuple[BenchedModel, ...]
    comparisons: tuple[Comparison, ...]
    doubts: tuple[str, ...]
    notes: tuple[str, ...]
    before: dict[str, Any]
    after: dict[str, Any]

    @property
    def inconclusive(self) -> tuple[str, ...]:
        """Models against which nothing can be said."""
        return tuple(one.against for one in self.comparisons if one.speedup.verdict == "inconclusive")


def bench_report(
    found: Measurement, sizes: Mapping[str, int], design: Design, *, minimum_effect: float, **said: Any
) -> BenchReport:
    """Return the report of a measurement.

    Args:
        found: What was measured; the first model is compared with the others.
        sizes: Bytes of the files, by the same names.
        design: How long was asked for.
        minimum_effect: Smallest relative difference that matters.
        said: The fields that say where, with what and for whom.
    """
    first, *others = found.samples.values()
    return BenchReport(
        edgekd=edgekd.__version__,
        created=datetime.now(UTC),
        design=vars(design),
        minimum_effect=minimum_effect,
        sessions=len(first.times_ms),
        cores=found.cores,
        models=tuple(_model(samples, sizes[name]) for name, samples in found.samples.items()),
        comparisons=tuple(
            Comparison(against=other.name, speedup=speedup(first, other, minimum_effect=minimum_effect))
            for other in others
        ),
        doubts=found.doubts,
        before=dict(found.before),
        after=dict(found.after),
        **said,
    )


def _model(samples: LatencySamples, size_bytes: int) -> BenchedModel:
    return BenchedModel(
        name=samples.name,
        size_bytes=size_bytes,
        **samples.figures,
        times_ms=np.round(samples.times_ms, _DIGITS).tolist(),
    )


MODEL_COLUMNS = ("model", "p50 ms", "p90", "p99", "mean", "min", "n", "open ms", "peak memory", "file")


def model_rows(report: BenchReport) -> list[tuple[str, ...]]:
    """Return a row of text for every model."""
    return [
        (
            one.name,
            *(milliseconds(ms) for ms in (one.p50, one.p90, one.p99, one.mean, one.min)),
            str(one.n),
            milliseconds(one.open_ms),
            size(one.peak_memory_bytes) if one.peak_memory_bytes else "unknown",
            size(one.size_bytes),
        )
        for one in report.models
    ]


def sentences(report: BenchReport) -> list[str]:
    """Return what is to be said below the table: verdicts, how it was measured, doubts."""
    verdicts = [_verdict(report.models[0].name, one, report) for one in report.comparisons]
    doubts = [f"doubt: {doubt}" for doubt in report.doubts]
    notes = [f"note: {note}" for note in report.notes]
    return [*verdicts, _design(report), *notes, *doubts]


def _verdict(name: str, compared: Comparison, report: BenchReport) -> str:
    found, percent = compared.speedup, f"{100 * report.minimum_effect:g} %"
    words = {
        "faster": f"{name} is faster than {compared.against}",
        "slower": f"{name} is slower than {compared.against}",
        "same": f"{name} is as fast as {compared.against}, to within {percent}",
        "inconclusive": f"inconclusive: nothing can be said of {name} against {compared.against}",
    }
    low, high = found.ci
    return f"{words[found.verdict]}: {found.ratio:.3f}x (99 % interval {low:.3f}-{high:.3f})"


def _design(report: BenchReport) -> str:
    pilot, precision = round(report.design["sessions"]), report.design["precision"]
    more = report.sessions - pilot
    cores = f"cores {', '.join(map(str, report.cores))}" if report.cores else "any core"
    text = f"{report.sessions} sessions, {pilot} of them the pilot, on {cores}"
    if not report.comparisons:
        return text
    asked = f"an interval of +-{100 * precision:g} %"
    width = max(one.speedup.ci[1] / one.speedup.ci[0] for one in report.comparisons) ** 0.5 - 1
    if width <= precision * 1.05:
        return f"{text}; {asked} was reached"
    if not more:
        return f"{text}; {asked} was asked for, the pilot took the whole budget"
    why = f"the budget of {report.design['budget_s']:g} s, or more spread than in the pilot, left +-"
    return f"{text}; {asked} was asked for, {why}{100 * width:.2g} %"
