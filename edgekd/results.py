"""What a run made and measured, and the report of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import edgekd
from edgekd.core.atomic import file_sha256
from edgekd.core.machine import machine
from edgekd.core.profile import PROFILES
from edgekd.core.store import StageRecord
from edgekd.device.local import LocalDevice
from edgekd.device.place import Place
from edgekd.distill.quantize_student import PtqStudent, PtqTrial
from edgekd.export.float_network import FloatStudent
from edgekd.lower.marked import MarkedOnnx
from edgekd.lower.payload import LayerWeights
from edgekd.report import measured, schema, target_schema
from edgekd.runtimes.stages import Engine, TargetOnnx
from edgekd.search.record import SearchRecord
from edgekd.spec import Pipeline
from edgekd.teacher.export_teacher import Teacher
from edgekd.train.checkpoint import EpochRecord
from edgekd.unions import Target
from edgekd.verify.verify_engine import Verdict, download_bytes


@dataclass(frozen=True)
class TargetResults:
    """One target: what was asked, what was built, what was measured.

    Attributes:
        name: Of its files in the run's folder, without the end.
        engine: What was built; None where the runtime is missing.
        place: What it was built for and measured on.
    """

    name: str
    target: Target
    engine: Engine | None
    lowered: TargetOnnx
    verdict: Verdict
    place: Place

    @property
    def files(self) -> dict[str, Path]:
        """By name, the engine first, what the run's folder gets: with an engine of another kind the ONNX."""
        onnx = {f"{self.name}.onnx": self.lowered.model_path}
        if self.engine is None:
            return onnx
        engine = {f"{self.name}{self.target.engine_suffix}": self.engine.engine_path}
        return engine if self.target.engine_suffix == ".onnx" else engine | onnx


@dataclass(frozen=True)
class Results:
    """All that a report is made from."""

    spec: Pipeline
    teachers: tuple[Teacher, ...]
    assistants: tuple[Teacher, ...]
    search: SearchRecord | None
    float_student: FloatStudent
    ptq: PtqStudent
    history: list[EpochRecord]
    marked: MarkedOnnx
    targets: tuple[TargetResults, ...]
    stages: tuple[StageRecord, ...]
    command: str


def build_report(results: Results) -> schema.Report:
    """Return the report of one run."""
    spec = results.spec
    data = spec.data
    teachers, history = _teachers(spec, results), _history(results)
    return schema.Report(
        edgekd=edgekd.__version__,
        pipeline=spec.name,
        spec_digest=spec.digest,
        created=datetime.now(UTC),
        command=results.command,
        seed=spec.seed,
        machine=machine(),
        data=schema.DataReport(
            kind=data.kind,
            train_n=len(data.split("train")),
            validation_n=len(data.split("validation")),
            test_n=len(data.split("test")),
            classes=len(data.info().class_names),
        ),
        teacher=teachers[0] if teachers else None,
        other_teachers=tuple(teachers[1:]),
        assistants=tuple(_teacher(assistant) for assistant in results.assistants),
        student=_student(results, history),
        targets=tuple(_target(spec, target) for target in results.targets),
        gates=(),
        stages=tuple(schema.StageRecord(**asdict(record)) for record in results.stages),
        search=results.search,
    )


def _history(results: Results) -> list[EpochRecord]:
    """Return the epochs of all training in its order; phases of the second teacher are ``NAME 2``."""
    taught = [
        replace(record, phase=f"{record.phase} {index}") if index > 1 else record
        for index, teacher in enumerate(results.teachers, 1)
        for record in teacher.history()
    ]
    taught += [record for assistant in results.assistants for record in assistant.history()]
    return [*taught, *results.float_student.history(), *results.history]


def _teachers(spec: Pipeline, results: Results) -> list[schema.TeacherReport]:
    """Return the teachers, each with its fraction of what is heard."""
    shares = [member.share for member in spec.teacher.members] if spec.teacher else []
    heard = 0 if spec.distill.teacher_start == "random" else 1
    return [
        _teacher(teacher, heard * share / sum(shares))
        for teacher, share in zip(results.teachers, shares, strict=False)  # none where none is needed
    ]


def _teacher(teacher: Teacher, share: float = 1.0) -> schema.TeacherReport:
    facts = teacher.facts()
    return schema.TeacherReport(
        name=facts.name,
        params=facts.params,
        macs=facts.macs,
        size_bytes=teacher.onnx_path.stat().st_size,
        metric=facts.metric,
        share=share,
    )


def _student(results: Results, history: list[EpochRecord]) -> schema.StudentReport:
    spec, facts = results.spec, results.float_student.facts()
    quantize, test = spec.quantize, spec.data.split("test")
    fallbacks = {
        item.node: item.reason
        for target in results.targets
        for item in target.verdict.faithfulness.coverage.fallbacks
    }
    return schema.StudentReport(
        name=facts.name,
        params=facts.params,
        macs=facts.macs,
        size_bytes_float=results.float_student.onnx_path.stat().st_size,
        metric_float=facts.metric,
        metric_fake_quant=spec.task.score(results.marked.test_logits(), test.labels),
        method=spec.distill.kind,
        bits=schema.Bits(
            weights=quantize.weights.bits,
            activations=quantize.activations.bits,
            first_layer=quantize.first_layer_bits,
            last_layer=quantize.last_layer_bits,
            residual=quantize.residual_bits,
        ),
        quantizers=schema.Quantizers(
            weights=quantize.weights.kind,
            activations=quantize.activations.kind,
            first_layer=quantize.scheme.weights_at(quantize.first_layer_bits).kind,
            last_layer=quantize.scheme.weights_at(quantize.last_layer_bits).kind,
        ),
        float_layers=tuple(schema.FloatLayer(name=name, reason=reason) for name, reason in fallbacks.items()),
        ptq=schema.Ptq(
            selected=results.ptq.selected,
            methods=tuple(_ptq_method(trial) for trial in results.ptq.trials()),
        ),
        history=tuple(schema.EpochRecord(**asdict(record)) for record in history),
    )


def _ptq_method(trial: PtqTrial) -> schema.PtqMethod:
    return schema.PtqMethod(method=trial.method, metric_fake_quant=trial.metric, logit_mse=trial.logit_mse)


def _target(spec: Pipeline, results: TargetResults) -> target_schema.TargetReport:
    verdict, target = results.verdict, results.target
    timed = verdict.latency.samples if verdict.latency else {}
    return target_schema.TargetReport(
        **_runtime(spec, results),
        **_file(results),
        native=measured.native(verdict.native) if verdict.native else None,
        float_weight_bytes=verdict.float_weight_bytes,
        metric=verdict.metric,
        against_teacher=verdict.against.get("teacher_float"),
        against_student_float=verdict.against.get("student_float"),
        agreement_top1=verdict.agreement_top1,
        fidelity=measured.fidelity(verdict.faithfulness),
        coverage=measured.coverage(verdict.faithfulness),
        saturation=verdict.faithfulness.saturation,
        latency_ms=measured.latency(verdict.latency, target.threads) if verdict.latency else None,
        ptq_metric=verdict.ptq_metric,
        exact_metric=verdict.exact_metric,
        baselines=tuple(
            measured.baseline(name, timed["engine"], samples, verdict.size_bytes[name])
            for name, samples in timed.items()
            if name != "engine"
        ),
        conditions=measured.conditions(verdict.latency) if verdict.latency else None,
        times_ms={name: tuple(samples.round_p50_ms) for name, samples in timed.items()},
    )


def _runtime(spec: Pipeline, results: TargetResults) -> dict[str, Any]:
    """Return what the report says of the runtime and of where it is."""
    target, place = results.target, results.place
    profile, tolerance = PROFILES[spec.quantize.profile], target.tolerance
    return {
        "kind": target.kind,
        "options": target.options,
        "profile": profile.name,
        "profile_version": profile.version,
        "bits_note": target.bits_note(spec.quantize.bits_asked, runtime_version=place.runtime_version),
        "device": target.device.name,
        "machine": None if target.device == LocalDevice() else place.machine,
        "runtime_version": place.runtime_version,
        "gpu": place.gpu,
        "not_built": place.not_built,
        "not_run": place.not_run,
        "least_agreement": tolerance.agreement if tolerance else None,
        "tolerance_reason": tolerance.reason if tolerance else "",
    }


def _file(results: TargetResults) -> dict[str, Any]:
    """Return what the report says of the engine's file."""
    name, path = next(iter(results.files.items()))
    layers, size_bytes = results.lowered.layers(), path.stat().st_size
    payload_bytes = sum(layer.size_bytes for layer in layers)
    return {
        "model_path": name,
        "model_sha256": file_sha256(path),
        "size_bytes": size_bytes,
        "payload_bytes": payload_bytes,
        "graph_bytes": max(0, size_bytes - payload_bytes),
        "download_bytes": download_bytes(path),
        "layers": tuple(map(_layer, layers)),
    }


def _layer(layer: LayerWeights) -> target_schema.LayerWeights:
    return target_schema.LayerWeights(**asdict(layer), size_bytes=layer.size_bytes)


def engine_name(targets: Sequence[Target], index: int) -> str:
    """Return how files of a target are called in a run's folder; the second of a kind is ``model.KIND_2``."""
    kind = targets[index].kind
    earlier = sum(other.kind == kind for other in targets[:index])
    return f"model.{kind}_{earlier + 1}" if earlier else f"model.{kind}"
