"""One process or many: real processes, joined by gloo."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from edgekd.errors import TrainError
from edgekd.train.ranks import check_devices

SHARED_RUN = Path(__file__).parent / "shared_run.py"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def _run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SHARED_RUN, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=200, check=False)


def _children(parent: int) -> list[int]:
    path = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_two_processes_train_the_same_experiment_and_one_writes_it(tmp_path: Path) -> None:
    found = []
    for devices in (1, 2):
        done = _run(tmp_path / str(devices), devices)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("p: 24/24") == 1  # progress of one process
        assert len((tmp_path / str(devices) / "written").read_text().splitlines()) == 1
        folder = Path(done.stdout.strip())
        losses = json.loads((folder / "losses.json").read_text())
        found.append((load_file(folder / "weights.safetensors"), losses))
    (alone, losses_alone), (shared, losses_shared) = found
    assert losses_shared == pytest.approx(losses_alone, rel=1e-4)
    for name, weight in alone.items():
        torch.testing.assert_close(shared[name], weight, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("rank", [0, 1])
def test_killed_process_ends_all_with_a_message_and_the_next_run_goes_on(tmp_path: Path, rank: int) -> None:
    died = _run(tmp_path, 2, rank)
    assert died.returncode == 1
    assert died.stderr.splitlines()[-2:] == [
        f"training process {rank + 1} of 2 ended: SIGKILL",
        "  fix:   run again: it goes on after the last checkpoint",
    ]
    again = _run(tmp_path, 2, rank)
    assert again.returncode == 0, again.stderr
    assert "p: 16/16" in again.stderr  # one of three epochs was done
    assert list((tmp_path / "work").iterdir()) == []


def test_no_process_outlives_a_killed_parent(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, SHARED_RUN, tmp_path, "2"], env=ENVIRONMENT, stderr=subprocess.DEVNULL
    ) as parent:
        deadline = time.monotonic() + 120
        while len(children := _children(parent.pid)) < 3:  # two workers, and what multiprocessing needs
            assert parent.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        parent.send_signal(signal.SIGKILL)
    while any(map(_alive, children)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_training_runs_under_torchrun(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", SHARED_RUN],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = re.findall("[0-9a-f]{64}", done.stdout)  # two processes may write on one line
    assert first == second


def test_devices_have_to_share_a_batch_equally() -> None:
    check_devices(4, batch_size=64)
    with pytest.raises(TrainError, match="3 processes cannot share batches of 64 images") as caught:
        check_devices(3, batch_size=64)
    assert caught.value.fix == "use a multiple of 3"


def test_torchrun_is_refused_for_a_whole_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    with pytest.raises(TrainError, match="torchrun would start the whole pipeline") as caught:
        check_devices(1, batch_size=64)
    assert "--devices" in caught.value.fix
