"""Nothing is lost and nothing is half-written, wherever the process is killed."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from edgekd.core.faults import FAULT_POINTS, fault_point

PACKAGE = Path(__file__).parents[2] / "edgekd"
CRASHES = Path(__file__).parent / "crashes.py"
MEMORY = Path("/dev/shm")  # the order of writes is what counts here, and a disk takes a minute for it
AS_ALWAYS = ("results", "entries", "runs", "other_files", "folders_of_work")


@pytest.fixture(scope="module")
def crashes() -> list[dict[str, Any]]:
    """What every kill led to; the first is a run that was not killed."""
    with TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        done = subprocess.run(
            [sys.executable, "-W", "error", CRASHES, folder],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_fault_point_was_passed_and_kills(crashes: list[dict[str, Any]]) -> None:
    assert {crash["fault"].partition(":")[0] for crash in crashes[1:]} == set(FAULT_POINTS)
    assert {tuple(crash["exit_codes"]) for crash in crashes[1:]} == {(-signal.SIGKILL, 0)}
    assert len(crashes) > 70


def test_run_after_a_kill_ends_as_if_there_had_been_none(crashes: list[dict[str, Any]]) -> None:
    whole, *killed = crashes
    assert whole["entries"] == ["prepare", "train"]
    assert whole["folders_of_work"] == []
    for crash in killed:
        assert {key: crash[key] for key in AS_ALWAYS} == {key: whole[key] for key in AS_ALWAYS}, crash[
            "fault"
        ]


def test_stage_that_had_finished_does_not_run_again(crashes: list[dict[str, Any]]) -> None:
    for crash in crashes[1:]:
        assert not set(crash["finished"]) & set(crash["ran_again"]), crash["fault"]


def test_kill_leaves_no_damaged_entry(crashes: list[dict[str, Any]]) -> None:
    for crash in crashes[1:]:  # the one that was there before is set aside with the rename
        assert crash["damaged_entries"] <= (
            crash["fault"] == "aside.begin:1" or "prepare" in crash["ran_again"]
        )


def test_epoch_with_a_checkpoint_does_not_run_again(crashes: list[dict[str, Any]]) -> None:
    again = {crash["fault"]: crash["ran_again"] for crash in crashes}
    assert again["checkpoint.begin:2"] == ["train", "epoch1", "epoch2"]
    assert again["checkpoint.done:2"] == ["train", "epoch2"]
    assert again["commit.done:2"] == []


def test_every_fault_point_is_in_the_code_once() -> None:
    found = [
        name
        for path in sorted(PACKAGE.rglob("*.py"))
        for name in re.findall(r'fault_point\("([a-z.]+)"\)', path.read_text())
    ]
    assert sorted(found) == sorted(FAULT_POINTS)


def test_fault_point_does_nothing_without_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGEKD_FAULT", raising=False)
    for name in FAULT_POINTS:
        fault_point(name)
