"""Full disks, read-only folders, signals and wrong clocks, with the installed command in its own process."""

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

TINY = Path(__file__).parents[1] / "specs" / "tiny.yaml"
EDGEKD = Path(sys.executable).parent / "edgekd"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
LONGER = ("--set", "distill.schedule.epochs=2")
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1


def _compress(
    store: Path, runs: Path, *words: str, before: Callable[[], object] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [EDGEKD, "compress", TINY, "--store", store, "--runs", runs, *words]
    return subprocess.run(
        command, capture_output=True, text=True, env=ENVIRONMENT, preexec_fn=before, check=False
    )


def _permissions_count() -> None:
    """Take from root, if it is root who tests, the right to write where nobody may."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


@pytest.fixture
def read_only() -> Iterator[Callable[[Path], None]]:
    """Return a function that takes away the right to write into a folder, until the test is over."""
    changed = []

    def forbid(folder: Path) -> None:
        for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            path.chmod(0o555)
            changed.append(path)

    yield forbid
    for path in changed:
        path.chmod(0o755)


def test_read_only_store_says_where_another_can_be(
    store_copy: Path, tmp_path: Path, read_only: Callable[[Path], None]
) -> None:
    read_only(store_copy)
    done = _compress(store_copy, tmp_path / "runs", before=_permissions_count)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("StoreError: the artifact store cannot be used: it is read-only")
    assert "set $EDGEKD_STORE to a folder that you can write" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", ["runs", "runs/tiny"])
def test_read_only_run_folder_is_said_before_any_stage_runs(
    tmp_path: Path, read_only: Callable[[Path], None], name: str
) -> None:
    (tmp_path / name).mkdir(parents=True)
    read_only(tmp_path / name)
    done = _compress(tmp_path / "store", tmp_path / "runs", before=_permissions_count)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("StoreError: cannot write the report: it is read-only")
    assert f"where: {tmp_path / name}" in done.stderr
    assert "--runs" in done.stderr
    assert not (tmp_path / "store").exists()


def test_full_disk_says_so_and_the_next_run_goes_on(store_copy: Path, tmp_path: Path) -> None:
    def nearly_full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    full = _compress(store_copy, tmp_path / "runs", *LONGER, before=nearly_full)
    assert (full.returncode, full.stdout) == (2, ""), full.stderr
    assert "StoreError: the artifact store cannot be used: File too large" in full.stderr
    assert "free some space, then run again: it resumes" in full.stderr
    assert "Traceback" not in full.stderr
    assert list(store_copy.rglob("*.tmp")) == []
    assert len(list(store_copy.glob("entries/distill_student/*"))) == 1  # that of the first run
    assert not (tmp_path / "runs").exists()

    later = _compress(store_copy, tmp_path / "runs", *LONGER)
    assert later.returncode == 0, later.stderr
    assert list((store_copy / "work").iterdir()) == []
    assert (tmp_path / "runs" / "tiny" / "report.json").exists()


@pytest.mark.parametrize(
    ("signals", "code"),
    [((signal.SIGTERM,), 143), ((signal.SIGINT, signal.SIGINT), None)],
    ids=["SIGTERM", "Ctrl-C twice"],
)
def test_signal_ends_a_run_that_can_go_on(
    store_copy: Path, tmp_path: Path, signals: tuple[signal.Signals, ...], code: int | None
) -> None:
    words = ("--set", "distill.schedule.epochs=50")
    command = [EDGEKD, "compress", TINY, "--store", store_copy, "--runs", tmp_path / "runs", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) as run:
        deadline = time.monotonic() + 120
        while not list(store_copy.glob("work/*/scratch/checkpoint.safetensors")):
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        for number in signals:
            run.send_signal(number)
        _, err = run.communicate(timeout=60)
    assert "Traceback" not in err
    if code is None:  # the second came while the first was served, or after
        assert run.returncode in (130, -signal.SIGINT)
    else:
        assert run.returncode == code
        assert "run the command again to go on" in err.replace(" \n", " ")
    plan = _plan(store_copy, *words)
    assert plan["distill_student"] == "resumes an interrupted run"


def test_clock_that_jumps_back_changes_nothing(store_copy: Path) -> None:
    future = time.time() + 86_400
    for path in store_copy.rglob("*"):
        os.utime(path, (future, future))
    assert set(_plan(store_copy).values()) == {"cached"}


def _plan(store: Path, *words: str) -> dict[str, str]:
    command = [EDGEKD, "check", TINY, "--store", store, "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    return {stage["name"]: stage["why"] for stage in json.loads(done.stdout)["stages"]}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["tiny", "twin"], ids=["the same pipeline", "another with the same stages"])
def test_two_runs_at_once_do_the_work_once(tmp_path: Path, name: str) -> None:
    def start(name: str) -> subprocess.Popen[str]:
        words = ("--store", tmp_path / "store", "--runs", tmp_path / "runs", "--set", f"name={name}")
        return subprocess.Popen(
            [EDGEKD, "compress", TINY, *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
            text=True, env=ENVIRONMENT,
        )  # fmt: skip

    runs = [start("tiny"), start(name)]
    texts = [run.communicate()[1].replace("\n", " ") for run in runs]
    assert [run.returncode for run in runs] == [0, 0], texts
    for stage in ("export_teacher", "train_student", "quantize_student", "distill_student"):
        assert sum(text.count(f"{stage}: first run") for text in texts) == 1
        assert sum(text.count(f"{stage}: cached") for text in texts) == 1
    waiting = "".join(texts).partition("waiting for pipeline ")[2]
    assert waiting.startswith(tuple(f"{run} (process {pid}" for run, pid in _named(runs, name)))
    assert list((tmp_path / "store" / "work").iterdir()) == []
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"tiny", name}


def _named(runs: list[subprocess.Popen[str]], name: str) -> list[tuple[str, int]]:
    return [("tiny", runs[0].pid), (name, runs[1].pid)]
