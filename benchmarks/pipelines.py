"""What a whole pipeline yields: every seed from an empty store, through the Python API, one row per target.

A row of a classifier's engine that ran here keeps which images of the test split it answered right.

With ``--from-report``, appends the rows of a report.json that is already there instead of running.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.answers import packed, right_answers
from benchmarks.rows import append_row
from edgekd.core.store import Store
from edgekd.pipeline import compress
from edgekd.report.schema import Report
from edgekd.report.target_schema import Baseline, TargetReport
from edgekd.spec import load_pipeline
from edgekd.tasks.metric import Metric


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pipeline", type=Path, nargs="?", help="a pipeline file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="fixed before the run")
    parser.add_argument("--from-report", type=Path, metavar="PATH", help="a report.json")
    parser.add_argument("--trained-on", metavar="TEXT", help="where --from-report was trained, if elsewhere")
    arguments = parser.parse_args()
    if (arguments.pipeline is None) == (arguments.from_report is None):
        parser.error("give either a pipeline file or --from-report")
    if arguments.from_report is not None:
        _append(arguments.from_report, wall_seconds=None, trained_on=arguments.trained_on)
        return
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            report = _compress(arguments.pipeline, seed, Path(folder))
            _append(report, wall_seconds=round(time.perf_counter() - start, 1))


def _compress(path: Path, seed: int, folder: Path) -> Path:
    spec = load_pipeline(path, (f"seed={seed}",))
    store = Store(folder / "store", pipeline=spec.name, announce=print)
    compress(spec, store, runs=folder / "runs", command=f"edgekd compress {path} --set seed={seed}")
    return folder / "runs" / spec.name / "report.json"


def _append(path: Path, *, wall_seconds: float | None, trained_on: str | None = None) -> None:
    report = Report.load(path)
    seed = yaml.safe_load((path.parent / "spec.resolved.yaml").read_text(encoding="utf-8"))["seed"]
    for index, row in enumerate(_rows(report)):
        figures = {
            "pipeline": report.pipeline,
            "seed": seed,
            "trained_on": trained_on,
            **row,
            "wall_seconds": wall_seconds,
            "right": _right(path.parent, report, index),
        }
        append_row("pipelines", figures, created=report.created, on=report.machine)


def _right(folder: Path, report: Report, index: int) -> str | None:
    target = report.targets[index]
    if target.not_run or target.device != "local":
        return None
    return packed(right_answers(folder, target=index))


def _rows(report: Report) -> Iterator[dict[str, Any]]:
    student = report.student
    for target in report.targets:
        yield {
            "command": report.command,
            "spec_digest": report.spec_digest,
            "teacher": report.teacher.name if report.teacher else None,
            "student": student.name,
            "method": student.method,
            "bits": student.bits.model_dump(),
            "quantizers": student.quantizers.model_dump(),
            "float_size_bytes": student.size_bytes_float,
            "target": target.kind,
            "runtime_version": target.runtime_version,
            "gpu": target.gpu,
            "not_run": target.not_run,
            "device": target.device,
            "profile": target.profile,
            "profile_version": target.profile_version,
            "metric": {
                "teacher": _metric(report.teacher.metric if report.teacher else None),
                "float": _metric(student.metric_float),
                "ptq": _metric(target.ptq_metric),
                "fake_quant": _metric(student.metric_fake_quant),
                "engine": _metric(target.metric),
                "exact_integers": _metric(target.exact_metric),
            },
            **_engine(target),
            "stage_seconds": {
                stage.name: round(stage.seconds, 1) for stage in report.stages if not stage.cached
            },
        }


def _engine(target: TargetReport) -> dict[str, Any]:
    latency = target.latency_ms
    return {
        "agreement_top1": target.agreement_top1,
        "size_bytes": target.size_bytes,
        "payload_bytes": target.payload_bytes,
        "graph_bytes": target.graph_bytes,
        "download_bytes": target.download_bytes,
        "oracle": {"mismatches": target.fidelity.oracle_mismatches, "values": target.fidelity.oracle_values},
        "layer_off_by_more": target.fidelity.layer_off_by_more,
        "float_ops": target.coverage.float_ops,
        "layer_off_by_one": round(target.fidelity.layer_off_by_one, 6),
        "layer_tensors": target.fidelity.layer_tensors,
        "layer_unwatched": target.fidelity.layer_unwatched,
        "integer_ops": target.coverage.integer_ops,
        "latency": None
        if latency is None
        else {**latency.model_dump(include={"n", "threads", "doubts"}), **_percentiles(latency)},
        "baselines": {baseline.name: _baseline(baseline) for baseline in target.baselines},
    }


def _metric(metric: Metric | None) -> dict[str, Any] | None:
    return None if metric is None else metric.model_dump(mode="json")


def _baseline(baseline: Baseline) -> dict[str, Any]:
    return {
        "n": baseline.n,
        "size_bytes": baseline.size_bytes,
        **_percentiles(baseline),
        "speedup": baseline.speedup.model_dump(mode="json"),
    }


def _percentiles(latency: Any) -> dict[str, float]:
    return {f"{name}_ms": round(getattr(latency, name), 4) for name in ("p50", "p90", "p99")}


if __name__ == "__main__":
    main()
