"""What a run proved, in words."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

from edgekd.device.latency import Speedup
from edgekd.report.schema import Report
from edgekd.report.target_schema import Coverage, TargetReport
from edgekd.report.words import (
    count,
    gate_limit,
    gate_value,
    idle_words,
    metric_difference,
    metric_interval,
    metric_value,
    native_words,
    paired_words,
    percent,
    size,
)

MOST_OFF_BY_ONE = 0.02
"""Share of a layer's codes that float32 ties may move by one step; measured: 0.0003 to 0.003."""

Tone = Literal["good", "warn", "bad"]


_SOURCES: dict[str, tuple[Tone, str]] = {
    "engine": ("good", ""),
    "builder": ("good", ", by the builder of the engine"),
    "file": ("warn", ", by the quantizers of the file alone"),
}
"""What may be said of integers, by what says it."""


@dataclass(frozen=True)
class Finding:
    """One thing that a run proved or failed to.

    Attributes:
        topic: What it is about, one word.
        tone: ``good``: as demanded; ``warn``: look at it; ``bad``: not as demanded.
        figure: The number that matters, a few characters.
        text: The whole finding, without a full stop.
    """

    topic: str
    tone: Tone
    figure: str
    text: str


@dataclass(frozen=True)
class Outcome:
    """What a run comes to, measured by what was demanded of it."""

    state: Literal["passed", "failed", "inconclusive"]
    text: str


def outcome(report: Report) -> Outcome:
    """Return whether every engine is what was trained, in integers, and every gate holds."""
    gates = gates_finding(report)
    demanded = [found for target in report.targets for found in (_integer(target), _faithful(target))]
    demanded += [gates] if gates else []
    if failed := [finding.text for finding in demanded if finding.tone == "bad"]:
        return Outcome("failed", "; ".join(failed))
    if idle := [target for target in report.targets if target.not_run]:
        names = "; ".join(f"{target.title} was not run: {target.not_run}" for target in idle)
        return Outcome("inconclusive", names)
    if any(_compared_nothing(target) for target in report.targets):
        return Outcome("inconclusive", "not all engines were compared with what was trained")
    if gates and gates.tone == "warn":
        return Outcome("inconclusive", gates.text)
    kept = gates.text if gates else "no gates were set"
    if near := [target.kind for target in report.targets if target.least_agreement is not None]:
        exact = "; the others exactly" if len(near) < len(report.targets) else ""
        text = f"{', '.join(near)} as near to what was trained as its arithmetic allows{exact}; {kept}"
        return Outcome("passed", text)
    return Outcome("passed", f"the engine computes exactly what was trained; {kept}")


def accuracy_cost(report: Report, target: TargetReport) -> str:
    """Return what the way to the engine did to the metric, against each model that it comes from."""
    names = [("the teacher", report.teacher.metric)] if report.teacher else []
    names.append(("the float student", report.student.metric_float))
    if target.ptq_metric is not None:
        names.append(("post-training quantization", target.ptq_metric))
    said = [f"{metric_difference(target.metric, metric)} against {name}" for name, metric in names]
    return f"{target.metric.name} of the engine: {', '.join(said)}"


def findings(report: Report, target: TargetReport) -> tuple[Finding, ...]:
    """Return what the run says about a target: integer, faithful, fast, accurate, small."""
    found = (_integer(target), _faithful(target), _fast(target), _accurate(report, target))
    return (*(finding for finding in found if finding), _small(report, target))


def gates_finding(report: Report) -> Finding | None:
    """Return whether all gates passed; None if there are none."""
    if not report.gates:
        return None
    judged = [gate for gate in report.gates if gate.state != "not_applicable"]
    passed, total = sum(gate.state == "passed" for gate in judged), len(judged)
    figure = f"{passed} of {total} passed"
    if passed == total:
        others = len(report.gates) - total
        more = f", {others} not applicable to their engine" if others else ""
        return Finding("Gates", "good", figure, f"all {total} gates passed{more}")
    failed = [gate for gate in report.gates if gate.state == "failed"]
    missed = failed or [gate for gate in report.gates if gate.state == "inconclusive"]
    names = ", ".join(f"{gate.name} (limit {gate_limit(gate)}, is {gate_value(gate)})" for gate in missed)
    text = f"{len(missed)} of {total} gates {'failed' if failed else 'cannot be decided'}: {names}"
    return Finding("Gates", "bad" if failed else "warn", figure, text)


def _integer(target: TargetReport) -> Finding:
    found, idle = _in_integers(target.coverage), idle_words(target)
    if not idle:
        return found
    tone: Tone = "bad" if found.tone == "bad" else "warn"
    return replace(found, tone=tone, text=f"{found.text}; the engine was {idle}")


def _in_integers(coverage: Coverage) -> Finding:
    total = coverage.integer_ops + coverage.float_ops
    if total == 0:
        return Finding("Integer", "warn", "no operator", "the graph has no operator at all")
    if coverage.float_ops == 0:
        tone, said = _SOURCES[coverage.source]
        return Finding("Integer", tone, "100 %", f"0 float operators, {total} in integers{said}")
    figure = percent(coverage.integer_ops / total)
    if coverage.unlisted:
        first = coverage.unlisted[0]
        text = (
            f"{len(coverage.unlisted)} operators run in float that must not, first {first.node} ({first.op})"
        )
        return Finding("Integer", "bad", figure, text)
    counted = Counter(coverage.float_op_names)
    names = ", ".join(f"{number} {name}" for name, number in counted.most_common())
    text = f"{coverage.float_ops} of {total} operators run in float ({names})"
    if coverage.integer_time_share is not None:
        text += f", {percent(1 - coverage.integer_time_share)} of the time"
    return Finding("Integer", "warn", figure, text)


def _faithful(target: TargetReport) -> Finding:
    return _exact(target) if target.least_agreement is None else _near(target, target.least_agreement)


def _compared_nothing(target: TargetReport) -> bool:
    if target.least_agreement is None:
        return target.fidelity.oracle_nodes == 0
    return target.agreement_top1 is None


def _near(target: TargetReport, least: float) -> Finding:
    """Return how near an engine is whose runtime has an arithmetic of its own."""
    fidelity, agreement = target.fidelity, target.agreement_top1
    watched = f"{fidelity.layer_tensors} tensors watched, {fidelity.layer_unwatched} cannot be"
    off = f"{percent(fidelity.layer_off_by_one, digits=2)} of their values off by one"
    layers = f"{watched}; {off}, {fidelity.layer_off_by_more} by more ({target.tolerance_reason})"
    if agreement is None:
        return Finding("Faithful", "warn", "not scored", f"no answers to compare; {layers}")
    figure = f"{percent(agreement)} agree"
    text = f"{percent(agreement)} of answers as in training, {percent(least)} demanded; {layers}"
    if agreement < least:
        return Finding("Faithful", "bad", figure, text)
    if target.not_run:
        return Finding("Faithful", "warn", figure, f"not run; its file in float gives {text}")
    return Finding("Faithful", "good", figure, text)


def _exact(target: TargetReport) -> Finding:
    fidelity = target.fidelity
    mismatches, off_by_more = fidelity.oracle_mismatches, fidelity.layer_off_by_more
    checked = f"{fidelity.oracle_nodes} nodes ({count(fidelity.oracle_values)} values)"
    if mismatches:
        text = f"{mismatches} oracle mismatches in {checked}, first in {fidelity.first_mismatch}"
        return Finding("Faithful", "bad", f"{mismatches} mismatches", text)
    if off_by_more:
        text = f"0 oracle mismatches in {checked}, but {off_by_more} layer values off by more than a tie"
        return Finding("Faithful", "bad", f"{off_by_more} off by more", text)
    if target.native and not target.native.identical:
        text = f"0 oracle mismatches in {checked}, but what {target.device} computes "
        return Finding("Faithful", "warn", "other bits", text + native_words(target.native))
    if fidelity.oracle_nodes == 0:
        return Finding("Faithful", "warn", "not checked", "no integer node was compared with the oracle")
    worst = max((layer.off_by_one for layer in fidelity.layers), default=0.0)
    if worst > MOST_OFF_BY_ONE:
        text = f"0 oracle mismatches in {checked}, but a layer with {percent(worst)} of its values off by one"
        return Finding("Faithful", "warn", "off by one", text)
    if not fidelity.layers:
        return Finding(
            "Faithful", "warn", "layers unseen", f"0 oracle mismatches in {checked}; no layer compared"
        )
    unchecked = f"; not modelled: {', '.join(fidelity.oracle_unchecked)}" if fidelity.oracle_unchecked else ""
    return Finding("Faithful", "good", "exact", f"0 oracle mismatches in {checked}{unchecked}")


def _fast(target: TargetReport) -> Finding | None:
    if target.not_run:
        built = (
            target.not_built or f"built by {target.kind} {target.runtime_version}, not run: {target.not_run}"
        )
        return Finding("Fast", "warn", "not run", built)
    words = {"student_float": "its float form", "teacher_float": "the float teacher", "ptq": "its PTQ form"}
    speedups = {baseline.name: baseline.speedup for baseline in target.baselines}
    for name, reference in words.items():
        if name in speedups:
            found = _speed(speedups[name], reference, speedups.get("teacher_float"))
            doubts = target.latency_ms.doubts if target.latency_ms else ()
            return replace(found, text="; ".join([found.text, *(f"doubt: {doubt}" for doubt in doubts)]))
    return None


def _speed(speedup: Speedup, reference: str, teacher: Speedup | None) -> Finding:
    low, high = speedup.ci
    ratio, interval = f"{speedup.ratio:.2f}x", f"(99 % interval {low:.2f}-{high:.2f})"
    if speedup.verdict == "faster":
        more = f", {teacher.ratio:.2f}x against the teacher" if teacher and teacher != speedup else ""
        return Finding("Fast", "good", ratio, f"{ratio} faster than {reference} {interval}{more}")
    if speedup.verdict == "slower":
        return Finding("Fast", "bad", ratio, f"slower, {ratio} the speed of {reference} {interval}")
    if speedup.verdict == "same":
        return Finding("Fast", "warn", ratio, f"as fast as {reference} {interval}")
    return Finding("Fast", "warn", ratio, f"inconclusive, {ratio} the speed of {reference} {interval}")


def _accurate(report: Report, target: TargetReport) -> Finding:
    metric, reference = target.metric, report.student.metric_float
    text = (
        f"{metric.name} {metric_value(metric)} ({metric_interval(metric)}) "
        f"against {metric_value(reference)} float"
    )
    if idle := idle_words(target):
        text += f"; computed in float from the file's Q/DQ graph, for the engine was {idle}"
    if target.exact_metric is not None:
        text += f"; {metric_value(target.exact_metric)} in exact integers"
    if target.agreement_top1 is not None:
        text += f"; {percent(target.agreement_top1)} of answers as in training"
    for paired, other in (
        (target.against_teacher, "the teacher"),
        (target.against_student_float, "the float student"),
    ):
        if paired is not None:
            text += f"; {paired_words(paired, other)}"
    as_good = metric.reaches(reference) and not idle
    if target.ptq_metric is not None and not metric.reaches(target.ptq_metric):
        text += f"; post-training quantization alone gives {metric_value(target.ptq_metric)}"
        as_good = False
    return Finding("Accurate", "good" if as_good else "warn", metric_value(metric), text)


def _small(report: Report, target: TargetReport) -> Finding:
    engine, float_file = target.size_bytes, report.student.size_bytes_float
    if engine < float_file:
        text = f"{size(engine)}, {float_file / engine:.1f}x smaller than its float file"
        return Finding("Small", "good", size(engine), text)
    text = f"{size(engine)}, no smaller than its float file ({size(float_file)})"
    return Finding("Small", "warn", size(engine), text)
