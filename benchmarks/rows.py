"""One result is one row: a JSON line in ``benchmarks/results/`` that says where its figures come from."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from edgekd.core.machine import Machine, machine

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def append_row(
    name: str, figures: Mapping[str, Any], *, created: datetime | None = None, on: Machine | None = None
) -> None:
    """Append a row to ``results/<name>.jsonl`` and print it.

    Args:
        name: Name of the benchmark.
        figures: What was measured, and with which arguments.
        created: When it was measured; by default now.
        on: What it was measured on; by default this machine.
    """
    row = {
        "commit": commit(),
        "created": (created or datetime.now(UTC)).isoformat(timespec="seconds"),
        "machine": (on or machine()).model_dump(mode="json"),
        **figures,
    }
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    for key, value in row.items():
        print(f"{key}: {json.dumps(value)}")


def read_rows(name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, row) of a benchmark, oldest first; nothing if it never ran."""
    path = RESULTS / f"{name}.jsonl"
    if path.exists():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            yield number, json.loads(line)


def commit() -> str:
    """Return the commit of the working tree, with ``+dirty`` if anything but the results has changed."""
    changes = _git("status", "--porcelain", "--", ".", ":!benchmarks/results")
    return _git("rev-parse", "--short", "HEAD") + ("+dirty" if changes else "")


def percentiles(times_ms: ArrayLike) -> dict[str, float]:
    """Return p50, p90 and p99 in ms and the number of samples."""
    times = np.asarray(times_ms)
    p50, p90, p99 = np.percentile(times, (50, 90, 99))
    return {"p50_ms": round(p50, 4), "p90_ms": round(p90, 4), "p99_ms": round(p99, 4), "n": times.size}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()
