"""The limits that the shipped pipeline has to keep on every machine, read from its report."""

import math
import sys
from pathlib import Path

from edgekd.report.schema import Report

ROOM_FOR_THE_GRAPH_BYTES = 40_000
CHANNEL_BYTES = 12


def limits(report: Report) -> dict[str, bool]:
    """Return every limit and whether it was kept."""
    target, student = report.targets[0], report.student
    speedups = {baseline.name: baseline.speedup.ci[0] for baseline in target.baselines}
    fidelity = target.fidelity
    needed_bytes = sum(
        math.ceil(layer.weights * layer.bits / 8) + CHANNEL_BYTES * layer.channels for layer in target.layers
    )
    return {
        "engine within 1.0 point of the float student": target.metric.value
        >= student.metric_float.value - 0.01,
        "no float operator": target.coverage.float_ops == 0 and target.coverage.integer_ops > 0,
        "no oracle mismatch": fidelity.oracle_mismatches == 0 and fidelity.oracle_nodes > 0,
        "no layer off by more than one": fidelity.layer_off_by_more == 0 and fidelity.layer_tensors > 0,
        "size at most payload + 40 kB": target.size_bytes <= target.payload_bytes + ROOM_FOR_THE_GRAPH_BYTES,
        "payload at most 1.02 x (packed codes + 12 bytes per channel)": target.payload_bytes
        <= 1.02 * needed_bytes,
        "payload at most 0.31 of float": target.payload_bytes <= 0.31 * target.float_weight_bytes,
        "faster than its float form": speedups["student_float"] > 1.0,
        "faster than the teacher": speedups["teacher_float"] > 1.0,
    }


def main(first: str, second: str) -> int:
    """Print every limit of the first run; the second must have run no stage. 1 if something is missed."""
    kept = limits(Report.load(Path(first)))
    kept["second run runs no stage"] = all(stage.cached for stage in Report.load(Path(second)).stages)
    for name, passed in kept.items():
        print("ok    " if passed else "MISSED", name)  # noqa: T201
    return int(not all(kept.values()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
