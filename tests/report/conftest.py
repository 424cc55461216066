"""One realistic report: a small residual network on 8x8 digits, W8A8, ONNX Runtime on two cores."""

from datetime import UTC, datetime
from math import exp
from typing import Any

import numpy as np
import pytest

from edgekd.core.machine import Machine
from edgekd.core.statistics import paired_difference, wilson_interval
from edgekd.device.latency import LatencySamples, speedup
from edgekd.report.schema import (
    Bits,
    DataReport,
    EpochRecord,
    GateResult,
    GateUnit,
    Metric,
    Ptq,
    PtqMethod,
    Quantizers,
    Report,
    StageRecord,
    StudentReport,
    TeacherReport,
)
from edgekd.report.target_schema import (
    Baseline,
    Coverage,
    Fidelity,
    Latency,
    LayerFidelity,
    LayerWeights,
    TargetReport,
)
from edgekd.runtimes.lost_time import NodeCost
from edgekd.runtimes.saturation import Saturation
from edgekd.verify.paired import Paired


def _top1(successes: int, n: int = 360) -> Metric:
    return Metric(name="top1", value=successes / n, ci95=wilson_interval(successes, n), n=n)


def _samples() -> dict[str, LatencySamples]:
    rng = np.random.default_rng(7)
    drift = np.exp(0.03 * np.sin(np.arange(30) / 3) + rng.normal(0, 0.01, 30)).reshape(6, 5, 1)
    planned = {"teacher_float": (0.412, 48), "student_float": (0.0853, 234), "ptq": (0.0571, 350)}
    return {
        name: LatencySamples(
            name,
            p50_ms * drift * rng.normal(1, 0.03, (6, 5, 1)) * (1 + rng.gamma(1.2, 0.02, (6, 5, repeats))),
            warmup=round(300 / p50_ms),
        )
        for name, (p50_ms, repeats) in {**planned, "engine": (0.0572, 349)}.items()
    }


def _history() -> tuple[EpochRecord, ...]:
    rng = np.random.default_rng(3)
    records = []
    for phase, epochs, start, end, top1 in (
        ("teacher", 20, 2.1, 0.04, 0.990),
        ("distil float", 20, 1.6, 0.08, 0.986),
        ("distil fake-quant", 10, 0.14, 0.07, 0.989),
    ):
        for epoch in range(1, epochs + 1):
            fade = exp(-5 * epoch / epochs)
            records.append(
                EpochRecord(
                    phase=phase,
                    epoch=epoch,
                    loss=end + (start - end) * fade + rng.normal(0, 0.01 * end),
                    metric=top1 - 0.3 * (start / 2) * fade + rng.normal(0, 0.001) if epoch % 2 == 0 else None,
                    lr=0.05 * (1 - epoch / (epochs + 1)),
                    seconds=0.8,
                )
            )
    return tuple(records)


def _target() -> TargetReport:
    samples = _samples()
    engine = samples["engine"]
    sizes = {"teacher_float": 1_118_209, "student_float": 321_480, "ptq": 91_022}
    layers = [f"block{i}.{part}" for i in range(1, 5) for part in ("conv1", "conv2", "add")]
    return TargetReport(
        kind="onnxruntime",
        profile="ort",
        bits_note="weights of 4 bits are stored in 4 bits each",
        profile_version=1,
        device="local",
        model_path="model.onnxruntime.onnx",
        size_bytes=90_914,
        payload_bytes=78_912,
        graph_bytes=12_002,
        float_weight_bytes=0,
        download_bytes=71_338,
        layers=(
            LayerWeights(
                name="stem",
                weights=432,
                channels=16,
                bits=8,
                stored_bits=8,
                table_values=0,
                size_bytes=432 + 192,
            ),
            LayerWeights(
                name="block1.conv1",
                weights=2304,
                channels=16,
                bits=2,
                stored_bits=2,
                table_values=3,
                size_bytes=576 + 3 + 192,
                lowest=-1,
                highest=1,
                zeros=1152,
            ),
        ),
        metric=_top1(356),
        against_teacher=Paired(
            only_engine_right=2,
            only_other_right=3,
            n=360,
            difference=-1 / 360,
            ci95=paired_difference(2, 3, 360),
            p_value=1.0,
        ),
        agreement_top1=359 / 360,
        fidelity=Fidelity(
            oracle_nodes=18,
            oracle_values=1_243_136,
            oracle_mismatches=0,
            layer_tensors=len(layers),
            layer_off_by_one=0.0061,
            layer_off_by_more=0,
            layers=tuple(
                LayerFidelity(name=name, off_by_one=0.002 + 0.0008 * i, off_by_more=0)
                for i, name in enumerate(layers)
            ),
        ),
        coverage=Coverage(
            integer_ops=21,
            float_ops=0,
            float_op_names=(),
            fallbacks=(),
            integer_time_share=0.981,
            border_time_share=0.05,
            nodes=(
                NodeCost(node="block1.conv1_token_3", op="QLinearConv", kind="integer", time_share=0.4),
                NodeCost(node="block1.conv2", op="QLinearConv", kind="integer", time_share=0.25),
                NodeCost(
                    node="image.q",
                    op="QuantizeLinear",
                    kind="border",
                    time_share=0.031,
                    change="take uint8 pixels [pixels]",
                ),
                NodeCost(node="head.q", op="QuantizeLinear", kind="border", time_share=0.019),
            ),
        ),
        saturation=(Saturation(node="stem", channels=16, could=3, does=1),),
        latency_ms=Latency(
            p50=engine.p50_ms,
            p90=engine.p90_ms,
            p99=engine.p99_ms,
            mean=engine.mean_ms,
            min=engine.min_ms,
            n=engine.n,
            warmup=engine.warmup,
            threads=1,
        ),
        ptq_metric=_top1(351),
        baselines=tuple(
            Baseline(
                name=name,
                p50=samples[name].p50_ms,
                p90=samples[name].p90_ms,
                p99=samples[name].p99_ms,
                n=samples[name].n,
                size_bytes=size_bytes,
                speedup=speedup(engine, samples[name]),
            )
            for name, size_bytes in sizes.items()
        ),
        times_ms={name: tuple(found.round_p50_ms.tolist()) for name, found in samples.items()},
    )


def _gate(name: str, limit: float, value: float, unit: GateUnit, **more: Any) -> GateResult:
    fields = {"engine": "model.onnxruntime.onnx", "state": "passed", "text": "as it was measured", **more}
    return GateResult(name=name, limit=limit, value=value, unit=unit, **fields)


@pytest.fixture(scope="session")
def report_of_many(report: Report) -> Report:
    """The same with a second teacher and two assistants."""
    teacher = report.teacher
    assert teacher is not None
    other = teacher.model_copy(update={"name": "resnet26", "share": 0.25})
    assistants = tuple(teacher.model_copy(update={"name": f"middle{n}"}) for n in (1, 2))
    first = teacher.model_copy(update={"share": 0.75})
    return report.model_copy(update={"teacher": first, "other_teachers": (other,), "assistants": assistants})


@pytest.fixture(scope="session")
def report() -> Report:
    return Report(
        edgekd="0.1.0",
        pipeline="digits_int8",
        spec_digest="5b1f0a3c" * 8,
        created=datetime(2026, 11, 23, 14, 5, 9, tzinfo=UTC),
        command="edgekd compress pipelines/digits_int8.yaml",
        seed=3,
        machine=Machine(
            cpu="AMD EPYC 9B45",
            cores=2,
            isa=("avx2", "avx512f", "avx512_vnni", "avx_vnni"),
            os="Linux 6.1.0 x86_64",
            python="3.11.7",
            runtime_versions={
                "edgekd": "0.1.0",
                "numpy": "2.4.6",
                "onnxruntime": "1.32.0",
                "torch": "2.13.0",
            },
        ),
        data=DataReport(kind="digits", train_n=1149, validation_n=288, test_n=360, classes=10),
        teacher=TeacherReport(
            name="resnet14", params=278_324, macs=9_620_000, size_bytes=1_118_209, metric=_top1(357)
        ),
        student=StudentReport(
            name="resnet8",
            params=78_042,
            macs=2_410_000,
            size_bytes_float=321_480,
            metric_float=_top1(355),
            metric_fake_quant=_top1(356),
            method="hinton",
            bits=Bits(weights=8, activations=8, first_layer=8, last_layer=8, residual=8),
            quantizers=Quantizers(weights="lsq", activations="pact", first_layer="lsq", last_layer="lsq"),
            float_layers=(),
            ptq=Ptq(
                selected="mse",
                methods=(
                    PtqMethod(method="min_max", metric_fake_quant=_top1(276, 288), logit_mse=0.0912),
                    PtqMethod(method="percentile", metric_fake_quant=_top1(279, 288), logit_mse=0.0641),
                    PtqMethod(method="mse", metric_fake_quant=_top1(281, 288), logit_mse=0.0388),
                ),
            ),
            history=_history(),
        ),
        targets=(_target(),),
        gates=(
            _gate("accuracy.min", 0.975, 356 / 360, "fraction"),
            _gate("accuracy.max_drop_from_float", 0.01, -0.0028, "fraction"),
            _gate("latency.max_ratio", 1.05, 1.012, "ratio", interval=(1.003, 1.021)),
            _gate("integer_coverage.max_float_ops", 0, 0, "count"),
        ),
        stages=(
            StageRecord(
                name="export_teacher", key="9f86d081" * 8, seconds=0.02, cached=True, why="same inputs"
            ),
            StageRecord(
                name="distill_student",
                key="60303ae2" * 8,
                seconds=41.3,
                cached=False,
                why="distill.temperature changed: 2.0 -> 4.0",
            ),
            StageRecord(
                name="export_marked", key="fd61a03a" * 8, seconds=3.1, cached=False, why="distill_student ran"
            ),
            StageRecord(
                name="build_engine", key="a4e624d6" * 8, seconds=0.4, cached=False, why="export_marked ran"
            ),
            StageRecord(
                name="verify_engine", key="19581e27" * 8, seconds=6.8, cached=False, why="measured every time"
            ),
        ),
    )
