"""The limits that the pipeline for several runtimes has to keep, read from its report."""

import sys
from pathlib import Path

from edgekd.report.schema import Report

WITHIN = 0.01
"""How far the engines' accuracies may be apart: 4 of 450 images."""


def limits(report: Report) -> dict[str, bool]:
    """Return every limit and whether it was kept."""
    ort, openvino, rtx = report.targets
    values = [target.metric.value for target in report.targets]
    agreements = [target.agreement_top1 or 0.0 for target in report.targets]
    exact = ort.fidelity
    return {
        "ONNX Runtime is exact": exact.oracle_mismatches == exact.layer_off_by_more == 0 < exact.oracle_nodes,
        "no float operator on any runtime": not any(target.coverage.float_ops for target in report.targets),
        "98 % of answers as in training": min(agreements) >= 0.98,
        "OpenVINO is timed beside its float form": bool(openvino.latency_ms and openvino.baselines),
        "TensorRT-RTX builds its engine": not rtx.not_built and rtx.model_path.endswith(".plan"),
        "its builder says what runs on int8": rtx.coverage.source in ("builder", "engine"),
        "in exact integers it is what ONNX Runtime runs": rtx.not_run == "" or rtx.exact_metric == ort.metric,
        "accuracies within 1.0 point of each other": max(values) - min(values) <= WITHIN,
    }


def main(path: str) -> int:
    """Print every limit; 1 if one is missed."""
    kept = limits(Report.load(Path(path)))
    for name, passed in kept.items():
        print("ok    " if passed else "MISSED", name)  # noqa: T201
    return int(not all(kept.values()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
