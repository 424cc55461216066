"""What a run proved, in words."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from edgekd.device.latency import Speedup
from edgekd.report.schema import Report
from edgekd.report.target_schema import TargetReport
from edgekd.report.words import count, metric_interval, metric_value, percent, size

MOST_OFF_BY_ONE = 0.02
"""Share of a layer's codes that float32 ties may move by one step; measured: 0.0003 to 0.003."""


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
    tone: Literal["good", "warn", "bad"]
    figure: str
    text: str


def findings(report: Report, target: TargetReport) -> tuple[Finding, ...]:
    """Return what the run says about a target: integer, faithful, fast, accurate, small."""
    found = (_integer(target), _faithful(target), _fast(target), _accurate(report, target))
    return (*(finding for finding in found if finding), _small(report, target))


def gates_finding(report: Report) -> Finding | None:
    """Return whether all gates passed; None if there are none."""
    if not report.gates:
        return None
    failed = [gate for gate in report.gates if not gate.passed]
    total = len(report.gates)
    figure = f"{total - len(failed)} of {total} passed"
    if not failed:
        return Finding("Gates", "good", figure, f"all {total} gates passed")
    names = ", ".join(f"{gate.name} (limit {gate.limit:.4g}, is {gate.value:.4g})" for gate in failed)
    return Finding("Gates", "bad", figure, f"{len(failed)} of {total} gates failed: {names}")


def _integer(target: TargetReport) -> Finding:
    coverage = target.coverage
    total = coverage.integer_ops + coverage.float_ops
    if total == 0:
        return Finding("Integer", "warn", "no operator", "the graph has no operator at all")
    if coverage.float_ops == 0:
        return Finding("Integer", "good", "100 %", f"0 float operators, {total} in integers")
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
    fidelity = target.fidelity
    mismatches, off_by_more = fidelity.oracle_mismatches, fidelity.layer_off_by_more
    checked = f"{fidelity.oracle_nodes} nodes ({count(fidelity.oracle_values)} values)"
    if fidelity.oracle_nodes == 0:
        return Finding("Faithful", "warn", "not checked", "no integer node was compared with the oracle")
    if mismatches:
        text = f"{mismatches} oracle mismatches in {checked}, first in {fidelity.first_mismatch}"
        return Finding("Faithful", "bad", f"{mismatches} mismatches", text)
    if off_by_more:
        text = f"0 oracle mismatches in {checked}, but {off_by_more} layer values off by more than a tie"
        return Finding("Faithful", "bad", f"{off_by_more} off by more", text)
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
    words = {"student_float": "its float form", "teacher_float": "the float teacher", "ptq": "its PTQ form"}
    speedups = {baseline.name: baseline.speedup for baseline in target.baselines}
    for name, reference in words.items():
        if name in speedups:
            return _speed(speedups[name], reference, speedups.get("teacher_float"))
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
    if target.agreement_top1 is not None:
        text += f"; {percent(target.agreement_top1)} of answers as in training"
    as_good = metric.reaches(reference)
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
