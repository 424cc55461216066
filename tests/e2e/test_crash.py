"""A real pipeline, killed at every fault point."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgekd.core.faults import FAULT_POINTS

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_compress_ends_as_if_nobody_had_killed_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.crash", "--kills", "13", "--dry-run", "--folder", tmp_path],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "EDGEKD_PROGRESS": "off"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures = json.loads(done.stdout)
    assert (figures["fault_kills"], figures["fault_points"]) == (len(FAULT_POINTS), len(FAULT_POINTS))
    for figure in ("half_written_entries", "lost_entries", "stages_run_again", "other_results", "leftovers"):
        assert figures[figure] == 0, figure
