"""A searched student beside a given one of equal training: time in one measurement, answers image by image.

    edgekd compress pipelines/cifar10_search_int8.yaml
    edgekd compress pipelines/cifar10_search_int8.yaml --set name=cifar10_resnet20_like \
        --set 'student.space={kind: resnet, blocks: [3], widths: [1.0]}' --set student.trials=1 \
        --set student.finalists=1 --set student.checked=0 --set 'student.rungs=[1]' \
        --set 'student.limits={max_p50_ms: 1.0}'
    python -m benchmarks.search runs/cifar10_search_int8 --reference runs/cifar10_resnet20_like

A space of one network, and a limit that it keeps, give that network the training that finalists of the search
had. The searched one's limit is best nine tenths of what the reference takes on the machine that day
(``--set student.limits.max_p50_ms=...``); the row holds it. Both engines, the searched one and the reference,
answer the whole test split, on which nothing decided, and are timed interleaved. The row says, too, how well
the latency table predicted.
"""

import argparse
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.answers import Right, right_answers
from benchmarks.rows import append_row
from edgekd.device.bench import made_up_feeds
from edgekd.device.latency import speedup
from edgekd.device.local import LocalDevice
from edgekd.report.schema import Report
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.target import BuiltModel
from edgekd.search.record import SearchRecord
from edgekd.verify.paired import compare_paired


def main() -> None:
    arguments = _arguments()
    runs = {"searched": arguments.searched, "reference": arguments.reference}
    reports = {name: Report.load(folder / "report.json") for name, folder in runs.items()}
    record = reports["searched"].search
    assert record is not None, "the first run has no searched student"
    right = {name: _right(folder) for name, folder in runs.items()}
    paired = compare_paired(right["searched"], right["reference"])
    append_row(
        "search",
        {
            "searched": _student(reports["searched"]),
            "reference": _student(reports["reference"]),
            "search": _search(record, reports["searched"], arguments.search_seconds),
            "top1": {name: round(float(found.mean()), 4) for name, found in right.items()},
            "difference": round(paired.difference, 5),
            "ci95": [round(end, 5) for end in paired.ci95],
            "mcnemar_p": paired.p_value,
            "n": paired.n,
            "latency": _timed(runs, reports),
        },
    )


def _right(folder: Path) -> Right:
    right = right_answers(folder)
    assert right is not None, "the task knows no right answer"
    return right


def _student(report: Report) -> dict[str, Any]:
    target = report.targets[0]
    return {
        "pipeline": report.pipeline,
        "seed": report.seed,
        "network": report.student.name,
        "macs": report.student.macs,
        "size_bytes": target.size_bytes,
        "oracle_mismatches": target.fidelity.oracle_mismatches,
        "float_ops": target.coverage.float_ops,
    }


def _search(record: SearchRecord, report: Report, search_seconds: int | None) -> dict[str, Any]:
    seconds = {stage.name: round(stage.seconds) for stage in report.stages if not stage.cached}
    if search_seconds is not None:
        seconds["search_student"] = search_seconds
    return {
        "space": record.space,
        "space_size": record.space_size,
        "sampler": record.sampler,
        "limits": record.limits.model_dump(exclude_none=True),
        "trained": sum(trial.metric is not None for trial in record.trials),
        "finalists": [
            {"p50_ms": one.measured.p50_ms, "validation": one.metric.value if one.metric else None}
            for one in record.finalists
        ],
        "predictions": len(record.checks),
        "median_error": None if record.median_error is None else round(record.median_error, 4),
        "errors": sorted(round(check.error, 4) for check in record.checks),
        "median_measured_ms": median(check.measured_ms for check in record.checks) if record.checks else None,
        "seconds": seconds,
    }


def _timed(runs: dict[str, Path], reports: dict[str, Report]) -> dict[str, Any]:
    files = {name: folder / reports[name].targets[0].model_path for name, folder in runs.items()}
    target = OnnxRuntimeTarget()
    feeds = made_up_feeds(files, target=target, batch=1, seed=0).feeds
    with LocalDevice().connect() as device:
        found = device.measure(
            {name: BuiltModel(target, file) for name, file in files.items()}, feeds, seed=0
        )
    samples = found.samples
    ratio = speedup(samples["searched"], samples["reference"])
    return {
        **{
            name: {"p50_ms": round(one.p50_ms, 4), "p90_ms": round(one.p90_ms, 4)}
            for name, one in samples.items()
        },
        "over_reference": round(ratio.ratio, 4),
        "ci99": [round(end, 4) for end in ratio.ci],
        "doubts": list(found.doubts),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("searched", type=Path, metavar="RUN", help="folder of the run with the search")
    parser.add_argument("--reference", type=Path, required=True, metavar="RUN", help="the other run's folder")
    parser.add_argument(
        "--search-seconds",
        type=int,
        metavar="N",
        help="of a search that was interrupted and gone on with, all told",
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
