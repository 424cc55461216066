"""The models that a target is compared with, as rows that every form of the report shows."""

from dataclasses import dataclass
from typing import Literal

from edgekd.device.latency import Speedup
from edgekd.report.schema import Report, TeacherReport
from edgekd.report.target_schema import Baseline, Latency, TargetReport
from edgekd.tasks.metric import Metric


@dataclass(frozen=True)
class ModelRow:
    """One model; fields are null where they were not measured or make no sense.

    Attributes:
        key: ``teacher_float``, ``other_teacher``, ``assistant``, ``student_float``, ``ptq``, ``fake_quant``
            or ``engine``.
        label: What it is, in a word or two.
        detail: Its architecture or bit widths.
        metric: On the test split.
        size_bytes: Size of its file.
        macs: Multiply-accumulates of one inference.
        latency: Object with p50, p90, p99 (ms) and n.
        speedup: How many times faster than it the engine is.
    """

    key: str
    label: str
    detail: str
    metric: Metric | None
    size_bytes: int | None
    macs: int
    latency: Baseline | Latency | None
    speedup: Speedup | None


def model_rows(report: Report, target: TargetReport) -> tuple[ModelRow, ...]:
    """Return teachers, assistants, float student, PTQ student (if there is one), fake-quant and engine."""
    teacher, student = report.teacher, report.student
    baselines = {baseline.name: baseline for baseline in target.baselines}
    bits = f"W{student.bits.weights}A{student.bits.activations}"

    def row(
        key: Literal["teacher_float", "student_float", "ptq"],
        label: str,
        detail: str,
        metric: Metric | None,
        size_bytes: int | None,
    ) -> ModelRow:
        macs = teacher.macs if teacher and key == "teacher_float" else student.macs
        measured = baselines.get(key)
        speedup = measured.speedup if measured else None
        return ModelRow(key, label, detail, metric, size_bytes, macs, measured, speedup)

    rows = []
    if teacher:
        label = "Teacher" if teacher.share else "Given teacher"
        rows.append(row("teacher_float", label, teacher.name, teacher.metric, teacher.size_bytes))
    rows += [_untimed("other_teacher", f"Teacher {n}", it) for n, it in enumerate(report.other_teachers, 2)]
    rows += [_untimed("assistant", f"Assistant {n}", it) for n, it in enumerate(report.assistants, 1)]
    rows.append(
        row("student_float", "Float student", student.name, student.metric_float, student.size_bytes_float)
    )
    if "ptq" in baselines or target.ptq_metric:
        detail = f"{bits}, {student.ptq.selected}" if student.ptq else bits
        size_bytes = baselines["ptq"].size_bytes if "ptq" in baselines else None
        rows.append(row("ptq", "PTQ student", detail, target.ptq_metric, size_bytes))
    trained, engine = f"{bits}, {student.method}", f"{bits}, {target.kind}"
    label = "Engine" if target.coverage.float_ops else "Integer engine"
    if target.not_run:
        label = "File, not built" if target.not_built else "Engine, not run"
    macs, latency = student.macs, target.latency_ms
    return (
        *rows,
        ModelRow("fake_quant", "Fake-quant", trained, student.metric_fake_quant, None, macs, None, None),
        ModelRow("engine", label, engine, target.metric, target.size_bytes, macs, latency, None),
    )


def _untimed(key: str, label: str, found: TeacherReport) -> ModelRow:
    """Return the row of a network that teaches and is not timed."""
    return ModelRow(key, label, found.name, found.metric, found.size_bytes, found.macs, None, None)
