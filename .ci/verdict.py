"""The limits that the shipped pipeline has to keep on every machine."""

import sys
from pathlib import Path

from edgekd.report.schema import Report

ROOM_FOR_THE_GRAPH_BYTES = 40_000


def main(path: str) -> int:
    """Print every limit; 1 if one is missed."""
    report = Report.load(Path(path))
    target, student = report.targets[0], report.student
    limits = {
        "engine within 1.0 point of the float student": target.metric.value >= student.metric_float.value - 0.01,
        "no float operator": target.coverage.float_ops == 0,
        "no oracle mismatch": target.fidelity.oracle_mismatches == 0,
        "no layer off by more than one step": target.fidelity.layer_off_by_more == 0,
        "size at most payload + 40 kB": target.size_bytes <= target.payload_bytes + ROOM_FOR_THE_GRAPH_BYTES,
        "payload at most 0.31 of the float weights": target.payload_bytes <= 0.31 * target.float_weight_bytes,
    }
    for name, kept in limits.items():
        print("ok    " if kept else "MISSED", name)  # noqa: T201
    return int(not all(limits.values()))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
